"""People as o8 knows them: users, their wishes for more rights, the code of the first admin. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from bot.models import Model
from bot.permissions import Action, Grant

_OF_ITSELF = {"delivery": "a push", "poller": "the poller", "o8": "o8 itself", "reconciler": "o8 itself"}
_SHAPES = {"cli": "{} on the server", "token": "token {}", "slack": "Slack {}"}


def in_words(actor: str) -> str:
    """An actor for people, as far as the name itself tells: `a push`, `root on the server`, `token 3`, `ada`."""
    kind, _, name = actor.partition(":")
    if kind in _OF_ITSELF or not name:
        return _OF_ITSELF.get(kind, actor)
    return _SHAPES.get(kind, "{}").format(name.rpartition(":")[2])


class User(Model):
    """Somebody with rights. `slack` holds `team:user` of their Slack accounts, `github` logins that give no rights."""

    id: int = Field(0, description="a number for programs that want one")
    username: str
    is_active: bool = True
    created_at: datetime
    grants: tuple[Grant, ...] = ()
    slack: tuple[str, ...] = ()
    github: tuple[str, ...] = ()
    has_password: bool = Field(False, description="may log in over HTTP")


class Token(Model):
    """Lets a program act for `username`, with the rights of `grants` of those they have; None: with all of them."""

    id: int
    username: str
    name: str
    grants: tuple[Grant, ...] | None = None
    created_at: datetime
    expires_at: datetime | None = None


class Session(Model):
    """One browser that is logged in. `id` is the hash of the secret in its cookie."""

    id: str
    username: str
    csrf: str
    agent: str = ""
    created_at: datetime
    seen_at: datetime
    expires_at: datetime


class Code(Model):
    """Makes its sender in Slack the first admin. `hash` is of the code; `wrong` counts tries with other ones."""

    hash: str
    expires_at: datetime
    wrong: int = 0


class AccessRequest(Model):
    """Somebody asked for a right; one who may grant it decides."""

    id: int
    username: str
    actor: str
    scope: str
    action: Action
    reason: str
    state: Literal["open", "granted", "denied"]
    decided_by: str | None = None
    created_at: datetime
    decided_at: datetime | None = None
