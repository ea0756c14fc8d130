"""Who one is here, passwords, and tokens for programs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import Field

from bot.accounts import Token
from bot.errors import LoginRefused
from bot.models import Model
from bot.permissions import Action, Grant
from handlers import auth
from handlers.access import ACCOUNT, caller_of
from handlers.api.people import Right, Username
from handlers.api.routing import Call, Nothing, Route, Text, Values


class NewPassword(Values):
    """`current`: one's password until now; not needed by an admin who sets somebody else's."""

    password: Annotated[Text, Field(max_length=1024, repr=False)]
    current: Annotated[Text, Field(max_length=1024, repr=False)] = ""


class NewToken(Values):
    """`username` empty: one's own; over the socket that of AUTH_USERNAME. `rights` null: all that its owner has.

    `seconds` null: for ever.
    """

    name: Annotated[Text, Field(min_length=1, max_length=100)]
    username: Username | Annotated[str, Field(max_length=0)] = ""
    rights: Annotated[list[Right], Field(max_length=200)] | None = None
    seconds: int | None = Field(None, ge=60, le=10 * 366 * 86400)


class Secret(Model):
    """`secret` is shown this once."""

    token: Token
    secret: str


class Me(Model):
    """`limits`: what the token that asks may of the rights; null: all of them."""

    actor: str
    username: str
    grants: tuple[Grant, ...]
    limits: tuple[Grant, ...] | None


class PasswordSet(Model):
    username: str
    is_changed: bool = True


async def me(call: Call[None, Nothing]) -> Me:
    """Who is asking, with their rights."""
    person = call.person
    return Me(actor=person.actor, username=person.username, grants=person.grants, limits=person.limits)


async def set_password(call: Call[NewPassword, Nothing]) -> PasswordSet:
    """Sets a password and logs its owner out of all browsers."""
    way = caller_of(call.request).way
    if call.name == call.person.username and way != "socket":
        if not call.body.current:
            raise LoginRefused("`current` is needed: your password until now.", "A browser may have been left open.")
        await call.services.logins.check(call.name, call.body.current, auth.address(call.request))
    await call.commands.set_password(call.name, call.body.password)
    return PasswordSet(username=call.name)


async def tokens(call: Call[None, Nothing]) -> list[Token]:
    """One's own tokens; for an admin everybody's."""
    username = "" if call.person.may(Action.ADMIN) else call.person.username
    return list(await call.services.store.tokens(username))


async def add_token(call: Call[NewToken, Nothing]) -> Secret:
    """A new token; its secret is shown this once."""
    body = call.body
    rights = None if body.rights is None else [(right.action, right.scope) for right in body.rights]
    until = datetime.now(UTC) + timedelta(seconds=body.seconds) if body.seconds else None
    # Who opened the socket has no account of their own.
    is_socket = caller_of(call.request).way == "socket"
    username = body.username or (call.services.authority.admin if is_socket else call.person.username)
    token, secret = await call.commands.add_token(username, body.name, rights, until)
    return Secret(token=token, secret=secret)


async def remove_token(call: Call[None, Nothing]) -> Token:
    """The token is worth nothing from now on."""
    return await call.commands.remove_token(call.id)


ROUTES = (
    Route("GET", "/me", me, ACCOUNT, Me),
    Route("PUT", "/users/{name}/password", set_password, ACCOUNT, PasswordSet, body=NewPassword, is_kept=False),
    Route("GET", "/tokens", tokens, ACCOUNT, list[Token]),
    Route("POST", "/tokens", add_token, ACCOUNT, Secret, body=NewToken, status=201, is_kept=False),
    Route("DELETE", "/tokens/{id}", remove_token, ACCOUNT, Token),
)
