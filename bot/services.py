"""What entry points may use: looked up here, then passed on. A frozen bag without methods."""

from __future__ import annotations

from dataclasses import dataclass

from bot.authority import Authority
from bot.certificates import Standings
from bot.doctor import Doctor
from bot.figures import Figures
from bot.follower import Follower
from bot.hooks import Webhooks
from bot.images import Images
from bot.inbox import Inbox
from bot.logins import Logins
from bot.logs import Logs
from bot.observer import Observer
from bot.operations import Operations
from bot.packages.catalogue import Catalogue
from bot.packages.listing import Listing
from bot.packages.offers import Offers
from bot.pruning import Pruner
from bot.safekeeping.backup import Backups
from bot.safekeeping.rotation import Rotation
from bot.settings import Settings
from bot.store import Store
from bot.vault import Vault
from bot.worker import Worker


@dataclass(frozen=True)
class Services:
    settings: Settings
    store: Store
    vault: Vault
    rotation: Rotation
    backups: Backups
    authority: Authority
    logins: Logins
    worker: Worker
    operations: Operations
    logs: Logs
    images: Images
    pruner: Pruner
    observer: Observer
    inbox: Inbox
    follower: Follower
    doctor: Doctor
    catalogue: Catalogue
    webhooks: Webhooks
    standings: Standings
    offers: Offers
    listing: Listing
    figures: Figures
