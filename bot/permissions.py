"""Who may do what: actions, scopes, and what implies what. Pure; docs/permissions.md is its table for people.

To add an action: a member of `Action`, its line in `_IMPLIED`, its row in the docs (a test holds both together).
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

GLOBAL = "global"
_SERVICE = "service:"


class Action(StrEnum):
    ADMIN = "admin"
    MANAGE = "manage"
    DEPLOY = "deploy"
    VIEW_STATUS = "view_status"
    VIEW_LOGS = "view_logs"
    EDIT_CONFIGURATION = "edit_configuration"
    VIEW_CONFIGURATION = "view_configuration"
    EDIT_ENV = "edit_env"
    VIEW_ENV = "view_env"
    PULL_NEW_IMAGE = "pull_new_image"
    ADD_NEW_SERVICE = "add_new_service"


GLOBAL_ONLY = frozenset({Action.PULL_NEW_IMAGE, Action.ADD_NEW_SERVICE})
_IMPLIED: dict[Action, frozenset[Action]] = {
    Action.ADMIN: frozenset(Action),
    Action.MANAGE: frozenset({Action.DEPLOY, Action.VIEW_STATUS}),
    Action.DEPLOY: frozenset({Action.VIEW_STATUS}),
    Action.VIEW_STATUS: frozenset(),
    Action.VIEW_LOGS: frozenset({Action.VIEW_STATUS}),
    Action.EDIT_CONFIGURATION: frozenset({Action.VIEW_CONFIGURATION, Action.VIEW_STATUS}),
    Action.VIEW_CONFIGURATION: frozenset({Action.VIEW_STATUS}),
    Action.EDIT_ENV: frozenset({Action.VIEW_ENV, Action.VIEW_STATUS}),
    Action.VIEW_ENV: frozenset({Action.VIEW_STATUS}),
    Action.PULL_NEW_IMAGE: frozenset(),
    Action.ADD_NEW_SERVICE: frozenset(),
}


ALLOWS: dict[Action, str] = {
    Action.ADMIN: "everything in its scope; in `global` also users, their rights and settings",
    Action.MANAGE: (
        "start, stop, scale, remove, hold, lift others' locks, deploy without approval, route and mute cards"
    ),
    Action.DEPLOY: "deploy, roll back, restart, resume, approve, reject, cancel, lock",
    Action.VIEW_STATUS: "see that the service exists, how it is and what was deployed",
    Action.VIEW_LOGS: "read and follow logs",
    Action.EDIT_CONFIGURATION: "change limits, ports, domains, health check, policy",
    Action.VIEW_CONFIGURATION: "read the configuration",
    Action.EDIT_ENV: "change environment values, which redeploys",
    Action.VIEW_ENV: "see which variables there are; over the API also their values",
    Action.PULL_NEW_IMAGE: "pull an image without deploying it (only in `global`)",
    Action.ADD_NEW_SERVICE: "install a new service, see what could be installed (only in `global`)",
}


def implied_by(action: Action) -> tuple[Action, ...]:
    """What somebody may too who may do `action`."""
    return tuple(other for other in Action if other in _IMPLIED[action] and other is not action)


class Grant(BaseModel):
    """A user's right to an action in a scope, for ever or until `expires_at`."""

    model_config = ConfigDict(frozen=True)

    scope: str
    action: Action
    granted_by: str = ""
    granted_at: datetime | None = None
    expires_at: datetime | None = None

    def is_valid(self, at: datetime) -> bool:
        return self.expires_at is None or self.expires_at > at

    def gives(self, action: Action, scope: str) -> bool:
        """Whether it covers `action` in `scope`; says nothing about its time."""
        if action in GLOBAL_ONLY and scope != GLOBAL:
            return False
        return self.scope in (GLOBAL, scope) and (action == self.action or action in _IMPLIED[self.action])


class Person(BaseModel):
    """Somebody who asks, with the rights of this moment. `actor` is how history names them, such as `slack:T1:U1`.

    `limits`: what a token may of all that its owner may; None: no limits.
    """

    model_config = ConfigDict(frozen=True)

    actor: str
    username: str
    grants: tuple[Grant, ...] = ()
    limits: tuple[Grant, ...] | None = None

    def may(self, action: Action, service: str = "") -> bool:
        """Whether they may do `action` to `service`; without one, in the scope `global`."""
        now, scope = datetime.now(UTC), scope_of(service)
        return all(
            any(grant.is_valid(now) and grant.gives(action, scope) for grant in grants)
            for grants in (self.grants, self.limits)
            if grants is not None
        )

    def may_grant(self, action: Action, scope: str, until: datetime | None) -> bool:
        """Only an admin of a scope gives rights in it, and nobody gives what they do not hold, or for longer.

        `until` None: for ever.
        """
        now = datetime.now(UTC)
        if not self.may(Action.ADMIN, service_of(scope)):
            return False
        held = [g for g in self.grants if g.is_valid(now) and g.gives(Action.ADMIN, scope) and g.gives(action, scope)]
        return any(grant.expires_at is None or (until is not None and until <= grant.expires_at) for grant in held)


def scope_of(service: str) -> str:
    """The scope of one service; of no service it is `global`."""
    return f"{_SERVICE}{service}" if service else GLOBAL


def service_of(scope: str) -> str:
    """The other way round: empty for `global`."""
    return scope.removeprefix(_SERVICE) if scope.startswith(_SERVICE) else ""
