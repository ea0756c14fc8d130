"""Passwords and tokens: one's own, and for admins everybody's. Neither is ever recorded."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from bot.accounts import Token
from bot.errors import Forbidden, InvalidInput, NotFound
from bot.permissions import Action, Grant
from handlers.commands.guard import Actor, needs_an_account
from handlers.commands.people import check_scope

MOST_NAME = 100


class LoginCommands(Actor):
    @needs_an_account
    async def set_password(self, username: str, password: str) -> None:
        """Sets one's own password, or as an admin anybody's; who is logged in with the old one is logged out."""
        await self._require_self_or_admin(username)
        await self._services.logins.set_password(username, password)
        await self._record("password", username)

    @needs_an_account
    async def add_token(
        self, username: str, name: str, rights: Sequence[tuple[Action, str]] | None = None,
        expires_at: datetime | None = None,
    ) -> tuple[Token, str]:  # fmt: skip
        """A token that acts for `username`, with these of their rights (None: all); its secret is shown this once."""
        if self._actor.startswith("token:"):
            raise Forbidden("A token makes no tokens.", "Log in with a password for that.")
        await self._require_self_or_admin(username)
        name = name.strip()
        if not name or len(name) > MOST_NAME:
            raise InvalidInput(f"A token has a name of 1 to {MOST_NAME} characters.", "Such as `prometheus`.")
        if expires_at is not None and expires_at <= datetime.now(UTC):
            raise InvalidInput("A token cannot expire before it begins.", "Such as `--for 90d`.")
        for action, scope in rights or ():
            check_scope(action, scope)
        if username != self._services.authority.admin:
            await self._store.user(username)
        grants = None if rights is None else tuple(Grant(action=action, scope=scope) for action, scope in rights)
        token, secret = await self._store.add_token(username, name, grants, expires_at)
        shown = None if rights is None else [f"{action} {scope}" for action, scope in rights]
        await self._record("token add", username, {"token": token.id, "name": name, "rights": shown})
        return token, secret

    @needs_an_account
    async def remove_token(self, id: int) -> Token:
        """The token is worth nothing from now on."""
        token = await self._store.token(id)
        person = await self._services.authority.who(self._actor)
        if token.username != person.username and not person.may(Action.ADMIN):
            raise NotFound(f"There is no token {id}.", "`o8 token list` shows them.")
        await self._store.remove_token(id)
        await self._record("token remove", token.username, {"token": id, "name": token.name})
        return token

    async def _require_self_or_admin(self, username: str) -> None:
        person = await self._services.authority.who(self._actor)
        is_whole = person.limits is None  # a token that may little must not become its owner
        if username != person.username or not is_whole:
            await self._require(Action.ADMIN)
