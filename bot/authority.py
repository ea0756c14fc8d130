"""Who is asking, and may they? The one function (`require`) for Slack, REST, dashboard and command line alike.

Rights are read anew at every question, so that what was revoked a moment ago is gone.
"""

from __future__ import annotations

import difflib
import hashlib
import secrets
from datetime import UTC, datetime, timedelta

from bot.accounts import User
from bot.errors import Forbidden, NotFound
from bot.models import Kind
from bot.permissions import GLOBAL, Action, Grant, Person, scope_of, service_of
from bot.store import Store
from bot.store.history import no_deployment
from bot.store.services import no_service

# Who may open o8's socket is an admin of the machine; what o8 does by itself asks nobody.
_EVERYTHING = (Grant(scope=GLOBAL, action=Action.ADMIN),)
_ADMINS_BY_NATURE = ("cli", "delivery", "poller", "reconciler", "o8")
CODE_LASTS = timedelta(minutes=30)
CODE_TRIES = 5
# One of these must still be held when it is run; `scale` is configuring, too, and needs `manage`.
_RUN_WITH = {
    Kind.CONFIGURE: (Action.EDIT_CONFIGURATION, Action.EDIT_ENV, Action.MANAGE),
    Kind.START: (Action.MANAGE,),
}


class Authority:
    def __init__(self, store: Store, admin: str = "") -> None:
        """`admin`: the name of a global admin who lives in no table (`AUTH_USERNAME`)."""
        self._store = store
        self.admin = admin

    async def who(self, actor: str) -> Person:
        """The person behind an actor such as `slack:T1:U1`; raises `Forbidden` without an action for a stranger."""
        kind, _, name = actor.partition(":")
        if kind in _ADMINS_BY_NATURE:
            return Person(actor=actor, username=actor, grants=_EVERYTHING)
        if kind == "token":
            token = await self._store.valid_token(int(name)) if name.isdecimal() else None
            owner = await self.who(f"user:{token.username if token else ''}")
            return owner.model_copy(update={"actor": actor, "limits": token.grants if token else ()})
        if kind == "user" and name and name == self.admin:
            return Person(actor=actor, username=name, grants=_EVERYTHING)
        user = await self._user(kind, name)
        if user is None:
            raise Forbidden(
                "o8 does not know you yet.",
                "Ask an admin for a first right: `/o8 grant @you view_status global`. "
                "The first admin says `/o8 hello CODE`, with the code that `o8 slack code` prints on the server.",
            )
        return Person(actor=actor, username=user.username, grants=user.grants)

    async def require(self, actor: str, action: Action, service: str = "") -> Person:
        """The person, who may do `action` to `service` (without one: globally).

        Raises `Forbidden` with what is missing and who can give it; `NotFound` for a service that they may not see,
        in the same words as for one that does not exist.
        """
        person = await self.who(actor)
        if service:
            await self._require_seen(person, service)
        return await self._require_held(person, action, service)

    async def require_for(self, actor: str, action: Action, deployment: int) -> Person:
        """As `require`, for the service of a deployment, which may be gone by now.

        Raises `NotFound` for a deployment of a service that they may not see as for one that does not exist.
        """
        person = await self.who(actor)
        service = (await self._store.deployment(deployment)).service
        if not person.may(Action.VIEW_STATUS, service):
            raise no_deployment(deployment)
        return await self._require_held(person, action, service)

    async def may_run(self, actor: str, kind: Kind, service: str) -> str:
        """Why a deployment that was asked for earlier may not run now, as a sentence; empty when it may."""
        name, wanted = actor, _RUN_WITH.get(kind, (Action.DEPLOY,))
        try:
            person = await self.who(actor)
            name = person.username
            if any(person.may(action, service) for action in wanted):
                return ""
            if person.may(Action.ADD_NEW_SERVICE) and (await self._store.service(service)).live is None:
                return ""  # who installs a service may see it run
        except (Forbidden, NotFound):
            pass
        return f"{name} may not {kind} {service} any more."

    async def is_same_person(self, actor: str, other: str) -> bool:
        """Whether two actors are one user, also by an account that is deactivated by now.

        The machine's own (`cli:root`) are the same only by name.
        """
        if actor == other:
            return True
        one, two = await self._owner(actor), await self._owner(other)
        return bool(one) and one == two

    async def granters(self, scope: str) -> tuple[str, ...]:
        """Usernames of those who can give rights in `scope` and have an account to do it with."""
        users = await self._store.users()
        people = (
            Person(actor="", username=u.username, grants=u.grants)
            for u in users
            if u.is_active and (u.slack or u.has_password)
        )
        return tuple(person.username for person in people if person.may(Action.ADMIN, service_of(scope)))

    async def seen_by(self, person: Person) -> tuple[str, ...]:
        """Names of the services that `person` may see."""
        return tuple(name for name in await self._store.service_names() if person.may(Action.VIEW_STATUS, name))

    def name_for(self, username: str) -> str:
        """What a new user may be called: the admin's name, which is in no table, is nobody else's."""
        return f"{username[:57]}-slack" if username == self.admin else username

    async def new_code(self) -> str:
        """A code with which one Slack account becomes admin of everything: once, within `CODE_LASTS`."""
        code = secrets.token_hex(5).upper()
        await self._store.set_code(_hash(code), datetime.now(UTC) + CODE_LASTS)
        return code

    async def redeem_code(self, code: str, team: str, slack_user: str, username: str) -> bool:
        """Makes the sender of the code admin of everything; False for a wrong, used or late one.

        After `CODE_TRIES` wrong ones the code is void.
        """
        wanted, username = _hash(code.strip().upper()), self.name_for(username)
        user = await self._store.redeem_code(wanted, team, slack_user, username, most=CODE_TRIES)
        return user is not None

    async def _require_held(self, person: Person, action: Action, service: str) -> Person:
        if person.may(action, service):
            return person
        scope = scope_of(service)
        granters = await self.granters(scope)
        raise Forbidden(
            f"You need `{action}` in `{scope}` for this.",
            f"{' or '.join(granters) or 'An admin'} can grant it; `/o8 request {action} {scope} -- why` asks for it.",
            action=action, scope=scope, granters=granters,
        )  # fmt: skip

    async def _require_seen(self, person: Person, service: str) -> None:
        """Raises `NotFound` in one and the same way for what is not there and for what must stay unknown."""
        seen = await self.seen_by(person)
        if service not in seen:
            raise no_service(service, has_any=bool(seen), close=difflib.get_close_matches(service, seen, n=2))

    async def _user(self, kind: str, name: str) -> User | None:
        if kind == "user":
            return await self._store.active_user(name)
        team, _, slack_user = name.partition(":")
        return await self._store.user_of_slack(team, slack_user) if kind == "slack" else None

    async def _owner(self, actor: str) -> str:
        """The username behind an account, also of one that is deactivated; empty for the machine's own."""
        kind, _, name = actor.partition(":")
        if kind == "user":
            return name
        if kind == "token":
            return await self._store.owner_of_token(int(name)) if name.isdecimal() else ""
        team, _, slack_user = name.partition(":")
        owner = await self._store.owner_of_slack(team, slack_user) if kind == "slack" else None
        return owner.username if owner else ""


def _hash(code: str) -> str:
    return hashlib.sha256(code.encode(errors="replace")).hexdigest()
