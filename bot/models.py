"""The words of o8 as types: service, slot, deployment, release, delivery, actor. Pure; rows and JSON alike.

docs/architecture.md draws `State` as a diagram.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from bot.configuration import Configuration

Slot = Literal["a", "b"]
SLOTS: tuple[Slot, Slot] = ("a", "b")


def other(slot: Slot) -> Slot:
    return "b" if slot == "a" else "a"


class Address(NamedTuple):
    """Where a replica answers; nginx, probes and draining know nothing else of it."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class Kind(StrEnum):
    """Why a deployment was asked for. All kinds take the same path."""

    DEPLOY = "deploy"
    RESTART = "restart"
    ROLLBACK = "rollback"
    CONFIGURE = "configure"
    START = "start"


class State(StrEnum):
    """Where a deployment is. The order of the steps is the order of `bot.deployer.STEPS`."""

    WAITING = "waiting"  # for a person's approval
    QUEUED = "queued"
    RESOLVING = "resolving"
    PULLING = "pulling"
    STARTING = "starting"
    CHECKING = "checking"
    SWITCHING = "switching"
    DRAINING = "draining"
    WATCHING = "watching"
    # endings
    SUCCEEDED = "succeeded"
    UNCHANGED = "unchanged"
    FAILED = "failed"
    ROLLED_BACK = "rolled_back"
    SUPERSEDED = "superseded"
    CANCELLED = "cancelled"
    HELD = "held"
    NEEDS_ATTENTION = "needs_attention"

    @property
    def is_ending(self) -> bool:
        return self in ENDINGS

    @property
    def can_be_cancelled(self) -> bool:
        return self in CANCELLABLE


ENDINGS = frozenset(
    {
        State.SUCCEEDED,
        State.UNCHANGED,
        State.FAILED,
        State.ROLLED_BACK,
        State.SUPERSEDED,
        State.CANCELLED,
        State.HELD,
        State.NEEDS_ATTENTION,
    }
)
CANCELLABLE = frozenset({State.WAITING, State.QUEUED, State.RESOLVING, State.PULLING, State.STARTING, State.CHECKING})
AFTER_SWITCH = frozenset({State.DRAINING, State.WATCHING})


class Model(BaseModel):
    model_config = ConfigDict(frozen=True)


class Hold(Model):
    """Automatic deployments are recorded but not run."""

    reason: str
    actor: str
    since: datetime


class Lock(Model):
    """Nobody deploys until `until`, or until it is lifted."""

    reason: str
    actor: str
    since: datetime
    until: datetime


class Service(Model):
    """A service as o8 keeps it. `block` is its place in the address plan (`bot.addresses`)."""

    name: str
    configuration: Configuration
    block: int
    environment_revision: int = 0
    hold: Hold | None = None
    lock: Lock | None = None
    is_stopped: bool = False
    live: int | None = Field(None, description="id of the deployment that serves; None before the first")
    created_at: datetime


class Step(Model):
    """One state of a deployment with its times. `detail` holds what it found (digest, bytes, checks)."""

    state: State
    started_at: datetime
    ended_at: datetime | None = None
    detail: dict[str, Any] = {}


class Deployment(Model):
    """One attempt to make a service run a given image digest with a given configuration.

    A succeeded one is a release. `configuration` and `environment_revision` are snapshots: rollback restores both.
    """

    id: int
    service: str
    kind: Kind
    state: State
    actor: str
    approved_by: str = Field("", description="actor who let it run, where `auto_deploy` asks for one")
    reason: str = ""
    is_automatic: bool = False
    image: str
    tag: str = ""
    digest: str = ""
    commit: str = ""
    repository: str = Field("", description="at GitHub, such as `acme/web`, by the image's account or the delivery's")
    pusher: str = Field("", description="login at GitHub of who pushed, by the delivery's account")
    delivery: str = ""
    target: int | None = Field(None, description="rollback: id of the release to return to")
    configuration: Configuration
    environment_revision: int = 0
    slot: Slot | None = None
    previous: int | None = Field(None, description="id of the deployment that served before the switch")
    attempts: int = Field(0, description="how often it was started; a kill of o8 starts it again")
    created_at: datetime
    started_at: datetime | None = None
    switched_at: datetime | None = None
    finished_at: datetime | None = None
    error_code: str = ""
    error: str = ""
    next_step: str = ""
    log: str = Field("", description="last lines of the failed candidate")
    exit_code: int | None = None
    steps: tuple[Step, ...] = ()
    revision: int = Field(0, description="grows over all deployments with each change: who has seen it asks for more")

    @property
    def identity(self) -> tuple[str, str, str, int]:
        """Two deployments with the same identity run exactly the same thing."""
        return (self.image, self.digest, self.configuration.fingerprint, self.environment_revision)

    @property
    def release(self) -> str:
        """What people call it: the tag, or the short digest where no tag is known."""
        return self.tag or self.digest.removeprefix("sha256:")[:12] or f"#{self.id}"

    @property
    def has_ended(self) -> bool:
        return self.state.is_ending


class Wanted(Model):
    """What an entry point asks for; the worker turns it into a `Deployment`."""

    service: str
    kind: Kind
    actor: str
    reason: str = ""
    tag: str = ""
    digest: str = Field("", description="only a hint unless `tag` is empty: tags are resolved anew")
    commit: str = Field("", description="and `repository`: as the delivery says, until the image itself says it")
    repository: str = ""
    pusher: str = ""
    delivery: str = ""
    target: int | None = None
    is_automatic: bool = Field(False, description="by delivery or poller: hold, lock and stop make it `held`")
    needs_approval: bool = False
    is_repair: bool = Field(False, description="o8 brings back what should run: allowed under a lock")


class EnvironmentRevision(Model):
    """One saved state of a service's environment, without its values."""

    revision: int
    names: tuple[str, ...]
    actor: str
    created_at: datetime


class Delivery(Model):
    """One webhook as received, with o8's verdict on it."""

    id: str
    event: str
    received_at: datetime
    body_digest: str
    verdict: Literal["accepted", "ignored", "failed"]
    accepted: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    image: str = ""
    tag: str = ""
    processed_at: datetime | None = None
    duplicates: int = 0


class AuditEntry(Model):
    """One act of one actor."""

    id: int
    at: datetime
    actor: str
    action: str
    subject: str
    detail: dict[str, Any]
