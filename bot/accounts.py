"""People as o8 knows them: users, their wishes for more rights, the code of the first admin. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from bot.models import Model
from bot.permissions import Action, Grant


class User(Model):
    """Somebody with rights. `slack` holds `team:user` of their Slack accounts."""

    username: str
    is_active: bool = True
    created_at: datetime
    grants: tuple[Grant, ...] = ()
    slack: tuple[str, ...] = ()


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
