"""What entry points may use: looked up here, then passed on. A frozen bag without methods."""

from __future__ import annotations

from dataclasses import dataclass

from bot.authority import Authority
from bot.doctor import Doctor
from bot.follower import Follower
from bot.inbox import Inbox
from bot.operations import Operations
from bot.settings import Settings
from bot.store import Store
from bot.worker import Worker


@dataclass(frozen=True)
class Services:
    settings: Settings
    store: Store
    authority: Authority
    worker: Worker
    operations: Operations
    inbox: Inbox
    follower: Follower
    doctor: Doctor
