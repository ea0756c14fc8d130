"""Who may do what, and how that is changed. Nobody gives what they do not hold, or decides about their own wish."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime

from bot.accounts import AccessRequest, User
from bot.errors import Conflict, Forbidden, InvalidInput
from bot.permissions import GLOBAL, GLOBAL_ONLY, Action, service_of
from bot.store.requests import no_request
from handlers.commands.deployments import stated
from handlers.commands.guard import Actor, checks_itself, needs_an_account, needs_globally

Right = tuple[Action, str]  # and its scope
_SERVICE = re.compile(r"service:[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_LOGIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,38}")
_USERNAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?")


class PeopleCommands(Actor):
    @needs_globally(Action.ADMIN)
    async def add_user(self, username: str, password: str = "", rights: Sequence[Right] = ()) -> User:
        """Adds somebody, with a password to log in with and rights, or without them."""
        if _checked(username) == self._services.authority.admin:
            raise Conflict(f"{username} is the admin of AUTH_USERNAME.", "Choose another name.")
        for action, scope in rights:
            await self._require_granter(action, scope, None)
        hash = await self._services.logins.hash(password) if password else ""
        user = await self._store.add_user(username, hash, rights, self._actor)
        detail = {"rights": [f"{action} {scope}" for action, scope in rights]} if rights else {}
        await self._record("user add", username, detail)
        return user

    @needs_globally(Action.ADMIN)
    async def set_rights(self, username: str, rights: Sequence[Right]) -> User:
        """Gives somebody exactly these rights; never takes them from the last admin of everything."""
        for action, scope in rights:
            await self._require_granter(action, scope, None)
        user = await self._store.set_rights(username, rights, self._actor)
        await self._record("rights", username, {"rights": sorted(f"{action} {scope}" for action, scope in rights)})
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
    async def link_github(self, login: str, username: str) -> User:
        """From now on `login` at GitHub is `username`'s, and cards name them by it. It gives no rights."""
        if not _LOGIN.fullmatch(login):
            raise InvalidInput(f"{login!r:.80} cannot be a login at GitHub.", "Letters, digits, - and _, up to 39.")
        user = await self._store.link_github(login, username)
        await self._record("link github", username, {"login": login.lower()})
        return user

    @needs_globally(Action.ADMIN)
    async def unlink_github(self, login: str) -> str:
        """From now on `login` at GitHub is nobody's; returns whose it was."""
        username = await self._store.unlink_github(login)
        await self._record("unlink github", username, {"login": login.lower()})
        return username

    @needs_globally(Action.ADMIN)
    async def new_code(self) -> str:
        """A code with which one Slack account becomes admin of everything; makes the one before void."""
        code = await self._services.authority.new_code()
        await self._record("code", "slack")
        return code

    @checks_itself(Action.ADMIN)
    async def grant(self, username: str, action: Action, scope: str, expires_at: datetime | None = None) -> None:
        """Gives a right, for ever or until `expires_at`. Only an admin of the scope may, while they are that."""
        await self._require_granter(action, scope, expires_at)
        await self._store.grant(username, action, scope, self._actor, expires_at)
        await self._record("grant", username, _detail(action, scope, expires_at))

    @checks_itself(Action.ADMIN)
    async def grant_slack(
        self, team: str, slack_user: str, username: str, action: Action, scope: str,
        expires_at: datetime | None = None,
    ) -> User:  # fmt: skip
        """Gives a right to a Slack account; one that o8 does not know yet becomes the new user `username`."""
        await self._require_granter(action, scope, expires_at)
        name = self._services.authority.name_for(_checked(username))
        user = await self._store.grant_slack(team, slack_user, name, action, scope, self._actor, expires_at)
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
        await self._require_judge(request)
        if is_granted:
            await self._require_granter(request.action, request.scope, expires_at)
        decided = await self._store.decide_request(id, self._actor, is_granted=is_granted, expires_at=expires_at)
        verb = "grant" if is_granted else "deny"
        await self._record(verb, decided.username, _detail(decided.action, decided.scope, expires_at) | {"request": id})
        return decided

    @needs_an_account
    async def request_access(self, action: Action, scope: str, reason: str) -> int:
        """Asks those who can grant it for a right; returns the number of the request.

        What somebody may not see they cannot ask for by its name; in `global` they can.
        """
        check_scope(action, scope)
        authority, service = self._services.authority, service_of(scope)
        person = await (
            authority.require(self._actor, Action.VIEW_STATUS, service) if service else authority.who(self._actor)
        )
        if person.may(action, service):
            raise InvalidInput(f"You have `{action}` in `{scope}` already.")
        id = await self._store.request_access(person.username, self._actor, action, scope, stated(reason))
        await self._record("request", person.username, _detail(action, scope, None) | {"reason": reason})
        return id

    async def _require_granter(self, action: Action, scope: str, until: datetime | None) -> None:
        """An admin of an existing scope, for as long as the right is to last (None: for ever)."""
        person = await self._require(Action.ADMIN, service_of(scope))
        check_scope(action, scope)
        if until is not None and until <= datetime.now(UTC):
            raise InvalidInput("A right cannot end before it begins.", "Such as `--for 8h`.")
        if not person.may_grant(action, scope, until):
            raise Forbidden(
                f"You are admin of `{scope}` for a limited time, and cannot give rights in it for longer.",
                "Say a shorter time, such as `--for 1h`.", action=action,
            )  # fmt: skip

    async def _require_judge(self, request: AccessRequest) -> None:
        """Somebody else than who asked, and admin of that scope, even if the service is gone by now."""
        person, service = await self._services.authority.who(self._actor), service_of(request.scope)
        if service and not person.may(Action.VIEW_STATUS, service):
            raise no_request(request.id)
        if not person.may(Action.ADMIN, service):
            await self._require(Action.ADMIN, service)
        is_own = await self._services.authority.is_same_person(request.actor, self._actor)
        if is_own or request.username == person.username:  # accounts may have been linked anew since
            raise Forbidden("Nobody decides about their own wish.", "Another admin of that scope can.")


def check_scope(action: Action, scope: str) -> None:
    """`global`, or `service:` and what could be a name; raises `InvalidInput`."""
    if scope == GLOBAL:
        return
    if not _SERVICE.fullmatch(scope):
        raise InvalidInput(f"{scope!r:.80} is no scope.", "`global`, or `service:NAME`.")
    if action in GLOBAL_ONLY:
        raise InvalidInput(f"`{action}` is about no single service.", f"Grant it in `{GLOBAL}`.")


def _detail(action: Action, scope: str, expires_at: datetime | None) -> dict[str, str]:
    return {"action": action, "scope": scope} | ({"until": expires_at.isoformat()} if expires_at else {})


def _checked(username: str) -> str:
    if not _USERNAME.fullmatch(username):
        raise InvalidInput(f"{username!r:.80} cannot be a username.", "Lower-case letters, digits and . _ -, up to 63.")
    return username
