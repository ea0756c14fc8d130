"""The words of chat: cards, channels, what was asked where, packages that could be installed. Pure."""

from __future__ import annotations

import re
from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import Field

from bot.models import Model


class Package(Model):
    """An image that no service uses; `tag` and `digest` are of its newest push.

    `repository` at GitHub, such as `acme/web`, and `pushed_at` are None or empty where nobody has said.
    """

    image: str
    tag: str = ""
    digest: str = ""
    state: Literal["offered", "listed", "installing", "installed", "dismissed", "removed"]
    delivery: str = Field("", description="the push that it becomes a service by, by itself")
    commit: str = ""
    service: str = Field("", description="what it was installed as")
    note: str = Field("", description="why o8 does not install it by itself")
    first_seen: datetime
    last_seen: datetime
    repository: str = ""
    pushed_at: datetime | None = None

    @property
    def service_name(self) -> str:
        """What a service of it would be called: `ghcr.io/acme/Shop_Front` -> `shop-front`."""
        return service_name(self.image)


def service_name(image: str) -> str:
    """The last part of an image's name, as a service may be called."""
    return re.sub(r"[^a-z0-9]+", "-", image.rpartition("/")[2].lower())[:63].strip("-")


class CardKind(StrEnum):
    """What a message in the channel is about."""

    DEPLOYMENT = "deployment"
    STEPS = "steps"  # of an ended deployment, in the thread of its card
    REQUEST = "request"  # for access
    PACKAGE = "package"  # to install?
    DISK = "disk"  # nearly full
    CERTIFICATE = "certificate"  # about to end, over, or not to be had


class Card(Model):
    """One message in the channel that follows its subject. `shown` < `wanted`: Slack does not show what is true now.

    `ts` is Slack's id of the message in `channel` (an id), empty before it is posted.
    """

    id: int
    kind: CardKind
    subject: str
    service: str = ""
    wanted: int
    shown: int
    is_final: bool
    channel: str = ""
    ts: str = ""
    attempted_at: datetime | None = Field(None, description="a post was begun and its answer is not known")
    shown_at: datetime | None = None
    failures: int = 0
    not_before: datetime | None = None
    changed_at: datetime


class DiskAlarm(Model):
    """The disk of `folder` was `level` per cent full or more from `began_at` to `ended_at`. `free`, `total`: bytes."""

    id: int
    folder: str
    level: int
    free: int
    total: int
    began_at: datetime
    ended_at: datetime | None = None


class CertificateAlarm(Model):
    """The certificate of `service` was missing, about to end, or over, from `began_at` to `ended_at`.

    `trouble`: why, as far as it is known. `ends_at` is of the certificate that there is now, also of the renewed one.
    """

    id: int
    service: str
    level: Literal["missing", "ending", "over"]
    trouble: str = ""
    ends_at: datetime | None = None
    began_at: datetime
    ended_at: datetime | None = None


class Channel(Model):
    """Where the cards of a service go; an empty `channel` is the one of SLACK_CHANNEL."""

    service: str
    channel: str = ""
    muted_until: datetime | None = None


class Place(Model):
    """Where something was asked in chat, and so where the answer goes. Ids are Slack's."""

    team: str
    user: str
    channel: str = ""
    thread: str = ""
    response_url: str = Field("", description="5 posts within 30 minutes; empty for mentions and direct messages")
    is_direct: bool = False


class Ask(Model):
    """A command that somebody gave in chat. `key` is the same when Slack sends the same one again."""

    id: int
    key: str
    actor: str
    text: str
    place: Place
    state: Literal["asked", "running", "done"]
    created_at: datetime


def lasting(start: datetime, end: datetime) -> str:
    """How long, in the largest unit that fits: `12 s`, `3 min`, `2 h`, `4 d`."""
    seconds = max(round((end - start).total_seconds()), 0)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if round(seconds / size, 1) >= 2:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds} s"
