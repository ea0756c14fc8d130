"""What is in the workspace that stands in for Slack: people, channels, messages, views, files."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class SlackMessage:
    """`edits` counts updates; `ephemeral_to` is the one who sees it, empty for everybody."""

    channel: str
    ts: str
    text: str
    blocks: list[dict[str, Any]]
    user: str
    thread_ts: str = ""
    is_broadcast: bool = False
    metadata: dict[str, Any] | None = None
    edits: int = 0
    ephemeral_to: str = ""
    is_deleted: bool = False


@dataclass
class SlackChannel:
    id: str
    name: str
    is_private: bool = False
    is_archived: bool = False
    has_bot: bool = True
    members: set[str] = field(default_factory=set)
    direct_to: str = ""
    messages: list[SlackMessage] = field(default_factory=list)


@dataclass
class SlackUser:
    id: str
    name: str
    team: str
    is_deleted: bool = False


@dataclass
class SlackView:
    """A modal that was opened, or a home tab."""

    id: str
    user: str
    view: dict[str, Any]
    is_open: bool = True


@dataclass
class SlackFile:
    name: str
    content: bytes = b""
    channel: str = ""
    thread_ts: str = ""


class Workspace:
    """`team` is its id; o8's bot is `bot_user`."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.team, self.bot_user, self.bot_id = "T0LAB", "U0BOT", "B0BOT"
        self.clock = clock
        self.users: dict[str, SlackUser] = {}
        self.channels: dict[str, SlackChannel] = {}
        self.views: list[SlackView] = []
        self.homes: dict[str, dict[str, Any]] = {}
        self.files: dict[str, SlackFile] = {}
        self._numbers = itertools.count(1)
        self._last_ts = 0.0
        self.add_user("o8", self.bot_user)

    def add_user(self, name: str, id: str = "", *, deleted: bool = False, team: str = "") -> str:
        """Returns the id of the new account."""
        id = id or f"U{next(self._numbers):06d}"
        self.users[id] = SlackUser(id, name, team or self.team, deleted)
        return id

    def add_channel(
        self, name: str, *, is_private: bool = False, has_bot: bool = True, direct_to: str = ""
    ) -> SlackChannel:
        id = f"{'D' if direct_to else 'C'}{next(self._numbers):06d}"
        found = SlackChannel(id, name, is_private, has_bot=has_bot, direct_to=direct_to)
        self.channels[id] = found
        return found

    def channel(self, name: str) -> SlackChannel | None:
        """By id, name or `#name`."""
        plain = name.lstrip("#")
        return self.channels.get(name) or next((c for c in self.channels.values() if c.name == plain), None)

    def direct(self, user: str) -> SlackChannel:
        """The conversation of the bot with somebody."""
        found = next((c for c in self.channels.values() if c.direct_to == user), None)
        return found or self.add_channel(f"direct-{user}", direct_to=user)

    def new_ts(self) -> str:
        """Slack's ids of messages: seconds with six digits, never twice."""
        self._last_ts = max(self.clock(), self._last_ts + 0.000001)
        return f"{self._last_ts:.6f}"

    def new_id(self, prefix: str) -> str:
        return f"{prefix}{next(self._numbers):06d}"
