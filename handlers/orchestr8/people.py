"""Users and their rights, in the words of the original's front end."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import Field

from bot.accounts import User
from bot.errors import InvalidInput, LoginRefused
from bot.permissions import GLOBAL, Action, Person
from handlers.access import ACCOUNT, caller_of, globally
from handlers.orchestr8.listing import ITS_WORDS
from handlers.orchestr8.routing import Asked, Body, Route

_OURS = {word: action for action, word in ITS_WORDS.items()}


class Permission(Body):
    scope: str
    action: str


Several = Annotated[tuple[Permission, ...], Field(max_length=2000)]  # each asks the database: ten for 200 services


class NewUser(Body):
    username: str
    password: str
    is_admin: bool = False
    permissions: Several = ()


class Permissions(Body):
    permissions: Several


class Password(Body):
    password: str


async def everyone(asked: Asked) -> list[dict[str, Any]]:
    return [_shown(user) for user in await asked.services.store.users()]


async def add(asked: Asked) -> dict[str, Any]:
    body = await asked.body(NewUser)
    if not body.password:
        raise InvalidInput("password is empty.", "Give them one to log in with.")
    rights = _rights(body.permissions) + ([(Action.ADMIN, GLOBAL)] if body.is_admin else [])
    user = await asked.commands.add_user(body.username.strip().lower(), body.password, list(dict.fromkeys(rights)))
    return {"success": True, "id": user.id}


async def set_permissions(asked: Asked) -> dict[str, Any]:
    """These and no others."""
    await asked.commands.set_rights(_username(asked), _rights((await asked.body(Permissions)).permissions))
    return {"success": True}


async def remove(asked: Asked) -> dict[str, Any]:
    await asked.commands.remove_user(_username(asked))
    return {"success": True}


async def change_password(asked: Asked) -> dict[str, Any]:
    """One's own; the password that comes with the request shows that it is them."""
    if caller_of(asked.request).way != "basic":
        raise LoginRefused("This needs name and password.", "A browser may have been left open; a token may be lent.")
    await asked.commands.set_password(asked.person.username, (await asked.body(Password)).password)
    return {"success": True}


def _shown(user: User) -> dict[str, Any]:
    person, now = Person(actor="", username=user.username, grants=user.grants), datetime.now(UTC)
    valid = [grant for grant in user.grants if grant.is_valid(now)]
    permissions = [{"scope": g.scope, "action": ITS_WORDS.get(g.action, g.action.value)} for g in valid]
    return {
        "id": user.id, "username": user.username, "is_admin": person.may(Action.ADMIN), "permissions": permissions
    }  # fmt: skip


def _rights(permissions: Sequence[Permission]) -> list[tuple[Action, str]]:
    for wanted in permissions:
        if wanted.action not in _OURS and wanted.action not in set(Action):
            raise InvalidInput(f"There is no permission {wanted.action!r:.40}.", f"One of {', '.join(Action)}.")
    return [(_OURS.get(p.action) or Action(p.action), p.scope) for p in permissions]


def _username(asked: Asked) -> str:
    return asked.name.strip().lower()


ROUTES = (
    Route("GET", "/api/users", everyone, globally(Action.ADMIN)),
    Route("POST", "/api/users", add, globally(Action.ADMIN)),
    Route("PATCH", "/api/users/{name}/permissions", set_permissions, globally(Action.ADMIN)),
    Route("DELETE", "/api/users/{name}", remove, globally(Action.ADMIN)),
    Route(
        "DELETE", "/{api: api }/{users: users }/{name}", remove, globally(Action.ADMIN)
    ),  # as the front end writes it
    Route("POST", "/api/change-password", change_password, ACCOUNT),
)
