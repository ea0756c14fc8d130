"""Who is asking, and may they? The one function (`require`) for Slack, REST, dashboard and command line alike.

Rights are read anew at every question, so that what was revoked a moment ago is gone.
"""

from __future__ import annotations

from bot.errors import Forbidden, NotFound
from bot.models import User
from bot.permissions import GLOBAL, Action, Grant, Person, scope_of
from bot.store import Store

# Who may open o8's socket is an admin of the machine; what o8 does by itself asks nobody.
ADMINS_BY_NATURE = ("cli:", "delivery:", "poller", "reconciler", "o8")


class Authority:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def who(self, actor: str) -> Person:
        """The person behind an actor such as `slack:T1:U1`; raises `Forbidden` without an action for a stranger."""
        if actor.startswith(ADMINS_BY_NATURE):
            return Person(actor=actor, username=actor, grants=(Grant(scope=GLOBAL, action=Action.ADMIN),))
        kind, _, name = actor.partition(":")
        user = await self._user(kind, name)
        if user is None:
            raise Forbidden(
                "o8 does not know you yet.",
                "Ask an admin for a first grant: `/o8 grant @you view_status global`. "
                "The first admin is made on the server: `o8 slack admin @you`.",
            )
        return Person(actor=actor, username=user.username, grants=user.grants)

    async def require(self, actor: str, action: Action, service: str = "") -> Person:
        """The person, who may do `action` to `service` (without one: globally).

        Raises `Forbidden` with what is missing and who can give it; `NotFound` for a service that they may not see,
        in the same words as for one that does not exist.
        """
        person = await self.who(actor)
        if person.may(action, service):
            return person
        if service and not person.may(Action.VIEW_STATUS, service):
            raise await self.unseen(person, service)
        scope = scope_of(service)
        granters = await self.granters(action, scope)
        raise Forbidden(
            f"You need `{action}` in `{scope}` for this.",
            f"{', '.join(granters) or 'An admin'} can grant it; `/o8 request {action} {scope} -- why` asks for it.",
            action=action, scope=scope, granters=granters,
        )  # fmt: skip

    async def unseen(self, person: Person, service: str) -> NotFound:
        """The error for a service that does not exist, as far as `person` may know."""
        raise NotImplementedError

    async def granters(self, action: Action, scope: str) -> tuple[str, ...]:
        """Usernames of those who can give `action` in `scope`."""
        users = await self._store.users()
        people = (Person(actor="", username=u.username, grants=u.grants) for u in users if u.is_active)
        return tuple(person.username for person in people if person.may_grant(action, scope))

    async def _user(self, kind: str, name: str) -> User | None:
        if kind == "slack":
            team, _, slack_user = name.partition(":")
            return await self._store.user_of_slack(team, slack_user)
        return None
