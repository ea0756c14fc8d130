"""Who may do what, and how that is changed. Nobody gives what they do not hold, or decides about their own wish."""

from __future__ import annotations

import re
from datetime import datetime

from bot.accounts import AccessRequest, User
from bot.errors import Forbidden, InvalidInput
from bot.permissions import GLOBAL, GLOBAL_ONLY, Action, service_of
from handlers.commands.guard import Actor, checks_itself, needs_globally

_USERNAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?")


class PeopleCommands(Actor):
    @needs_globally(Action.ADMIN)
    async def add_user(self, username: str) -> User:
        """Adds somebody without any right yet."""
        user = await self._store.add_user(_checked(username))
        await self._record("user add", username)
        return user

    @needs_globally(Action.ADMIN)
    async def remove_user(self, username: str) -> None:
        """Removes somebody with all their rights; never the last admin of everything."""
        await self._store.remove_user(username)
        await self._record("user remove", username)

    @needs_globally(Action.ADMIN)
    async def link_slack(self, team: str, slack_user: str, username: str) -> User:
        """From now on this Slack account speaks for `username`."""
        user = await self._store.link_slack(team, slack_user, username)
        await self._record("link", username, {"slack": f"{team}:{slack_user}"})
        return user

    @needs_globally(Action.ADMIN)
    async def new_code(self) -> str:
        """A code with which one Slack account becomes admin of everything; makes the one before void."""
        code = await self._services.authority.new_code()
        await self._record("code", "slack")
        return code

    @checks_itself(Action.ADMIN)
    async def grant(self, username: str, action: Action, scope: str, expires_at: datetime | None = None) -> None:
        """Gives a right, for ever or until `expires_at`. Only an admin of the scope may."""
        await self._require_granter(action, scope)
        await self._store.user(username)
        await self._store.grant(username, action, scope, self._actor, expires_at)
        await self._record("grant", username, _detail(action, scope, expires_at))

    @checks_itself(Action.ADMIN)
    async def grant_slack(
        self, team: str, slack_user: str, username: str, action: Action, scope: str,
        expires_at: datetime | None = None,
    ) -> User:  # fmt: skip
        """Gives a right to a Slack account; one that o8 does not know yet becomes the new user `username`."""
        await self._require_granter(action, scope)
        user = await self._store.grant_slack(
            team, slack_user, _checked(username), action, scope, self._actor, expires_at
        )
        detail = _detail(action, scope, expires_at) | {"slack": f"{team}:{slack_user}"}
        await self._record("grant", user.username, detail)
        return user

    @checks_itself(Action.ADMIN)
    async def revoke(self, username: str, action: Action, scope: str) -> None:
        """Takes a right away. Only an admin of the scope may; never the last admin of everything."""
        await self._require(Action.ADMIN, service_of(scope))
        await self._store.revoke(username, action, scope)
        await self._record("revoke", username, _detail(action, scope, None))

    @checks_itself(Action.ADMIN)
    async def decide_request(self, id: int, *, is_granted: bool, expires_at: datetime | None = None) -> AccessRequest:
        """Grants or denies what somebody asked for; never one's own wish."""
        request = await self._store.access_request(id)
        await self._require_granter(request.action, request.scope)
        if await self._services.authority.is_same_person(request.actor, self._actor):
            raise Forbidden("Nobody decides about their own wish.", "Another admin of that scope can.")
        decided = await self._store.decide_request(id, self._actor, is_granted=is_granted, expires_at=expires_at)
        verb = "grant" if is_granted else "deny"
        await self._record(verb, decided.username, _detail(decided.action, decided.scope, expires_at) | {"request": id})
        return decided

    async def request_access(self, action: Action, scope: str, reason: str) -> int:
        """Asks those who can grant it for a right; returns the number of the request."""
        person = await self._services.authority.who(self._actor)
        await self._check_scope(action, scope)
        service = service_of(scope)
        if person.may(action, service):
            raise InvalidInput(f"You have `{action}` in `{scope}` already.")
        id = await self._store.request_access(person.username, self._actor, action, scope, reason)
        await self._record("request", person.username, _detail(action, scope, None) | {"reason": reason})
        return id

    async def _require_granter(self, action: Action, scope: str) -> None:
        person = await self._require(Action.ADMIN, service_of(scope))
        await self._check_scope(action, scope)
        if not person.may_grant(action, scope):
            raise Forbidden(f"You do not hold `{action}` in `{scope}`, so you cannot give it.", action=action)

    async def _check_scope(self, action: Action, scope: str) -> None:
        """`global`, or `service:` and the name of one that exists."""
        if scope == GLOBAL:
            return
        name = service_of(scope)
        if not name:
            raise InvalidInput(f"{scope!r:.80} is no scope.", "`global`, or `service:NAME`.")
        if action in GLOBAL_ONLY:
            raise InvalidInput(f"`{action}` is about no single service.", f"Grant it in `{GLOBAL}`.")
        await self._store.service(name)


def _detail(action: Action, scope: str, expires_at: datetime | None) -> dict[str, str]:
    return {"action": action, "scope": scope} | ({"until": expires_at.isoformat()} if expires_at else {})


def _checked(username: str) -> str:
    if not _USERNAME.fullmatch(username):
        raise InvalidInput(f"{username!r:.80} cannot be a username.", "Lower-case letters, digits and . _ -, up to 63.")
    return username
