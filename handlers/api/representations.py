"""How services, deployments and the rest look in JSON: the types that OpenAPI describes. No value of an environment."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

from pydantic import ConfigDict, Field

from bot.configuration import Configuration
from bot.models import Deployment, EnvironmentRevision, Hold, Kind, Lock, Model, Service, Slot, State, Step
from bot.operations import Applied
from bot.pem import Level, Source, Standing
from bot.permissions import Action, Person
from bot.run import Run


class _Shown(Model):
    model_config = ConfigDict(from_attributes=True)


class ShownCertificate(Model):
    """Of a site with TLS. `covers` and `ends_at` are unknown while there is none, or while it cannot be read here."""

    source: Source
    covers: tuple[str, ...] = Field(description="the names that it is good for")
    serial: str = Field(description="in hexadecimal")
    ends_at: datetime | None
    level: Level = Field(description="`missing`: some name has none; `ending`: soon; `over`; empty when all is well")
    trouble: str = Field(description="why there is no new one")


class ShownService(_Shown):
    """`release` is what serves; a lock that has expired is none. `configuration` needs `view_configuration`."""

    name: str
    state: Literal["new", "live", "stopped"]
    release: str | None
    live: int | None = Field(description="id of the deployment that serves")
    is_stopped: bool
    configuration: Configuration | None
    environment_revision: int
    hold: Hold | None
    lock: Lock | None
    created_at: datetime
    certificate: ShownCertificate | None = Field(None, description="only where one service is asked for")


class Summary(_Shown):
    """A deployment in a list."""

    id: int
    service: str
    kind: Kind
    state: State
    has_ended: bool
    actor: str
    approved_by: str
    reason: str
    is_automatic: bool
    image: str
    tag: str
    digest: str
    release: str = Field(description="what people call it: the tag, or the short digest")
    commit: str
    repository: str = Field(description="at GitHub, such as `acme/web`; empty where it is not known")
    delivery: str
    target: int | None = Field(description="of a rollback: id of the release to return to")
    environment_revision: int
    slot: Slot | None
    previous: int | None
    attempts: int
    created_at: datetime
    started_at: datetime | None
    switched_at: datetime | None
    finished_at: datetime | None
    error_code: str
    error: str
    next_step: str
    exit_code: int | None
    revision: int


class Progress(Model):
    """Of a pull, in bytes."""

    bytes_done: int
    bytes_known: int


class ShownDeployment(Summary):
    """`configuration` needs `view_configuration`, `log` (of a failed candidate) `view_logs`; else null and empty."""

    configuration: Configuration | None
    log: str
    steps: tuple[Step, ...]
    progress: Progress | None = None


class ShownApplied(Model):
    """`deployment` is null when nothing that runs had to change."""

    service: ShownService
    is_new: bool
    deployment: Summary | None


class ShownEnvironment(Model):
    """Names; `content`, the text as written, only when it was asked for."""

    service: str
    revision: int
    names: tuple[str, ...]
    actor: str
    created_at: datetime | None
    content: str | None = None


class ShownStatus(Model):
    """A service in short."""

    service: str
    image: str
    release: str | None
    newest: str | None = Field(description="the newest tag that it follows, as last looked up")
    state: Literal["new", "live", "stopped"]
    since: datetime | None
    replicas: int
    cpus: float | None = Field(description="processors in use now")
    memory_bytes: int | None
    hold: Hold | None
    lock: Lock | None
    running: Summary | None
    last_deployment: Summary | None


class Removed(Model):
    name: str
    is_removed: bool = True


def service(found: Service, live: Deployment | None, person: Person) -> ShownService:
    may_read = person.may(Action.VIEW_CONFIGURATION, found.name)
    return ShownService(
        name=found.name, state=state(found), release=live.release if live else None, live=found.live,
        is_stopped=found.is_stopped, configuration=found.configuration if may_read else None,
        environment_revision=found.environment_revision, hold=found.hold, lock=lock(found.lock),
        created_at=found.created_at,
    )  # fmt: skip


def certificate(found: Standing | None) -> ShownCertificate | None:
    if found is None:
        return None
    of = found.certificate
    return ShownCertificate(
        source=found.source, covers=tuple(sorted(of.names)) if of else (), serial=of.serial if of else "",
        ends_at=of.ends if of else None, level=found.level(), trouble=found.trouble,
    )  # fmt: skip


def deployment(found: Deployment, person: Person, run: Run | None = None) -> ShownDeployment:
    """Whole, with its steps; `progress` counts the bytes of the pull while it is at work in `run`."""
    shown = ShownDeployment.model_validate(found)
    hidden: dict[str, object] = {}
    if not person.may(Action.VIEW_CONFIGURATION, found.service):
        hidden["configuration"] = None
    if not person.may(Action.VIEW_LOGS, found.service):
        hidden["log"] = ""
    if run is not None and run.deployment.id == found.id:
        hidden["progress"] = Progress(bytes_done=run.bytes_done, bytes_known=run.bytes_known)
    return shown.model_copy(update=hidden) if hidden else shown


def summary(found: Deployment | None) -> Summary | None:
    return Summary.model_validate(found) if found else None


def summaries(found: tuple[Deployment, ...]) -> list[Summary]:
    return [Summary.model_validate(each) for each in found]


def applied(what: Applied, live: Deployment | None, person: Person) -> ShownApplied:
    return ShownApplied(
        service=service(what.service, live, person), is_new=what.is_new, deployment=summary(what.deployment)
    )


def environment(found: Service, revision: EnvironmentRevision | None, content: str | None = None) -> ShownEnvironment:
    return ShownEnvironment(
        service=found.name, revision=found.environment_revision, names=revision.names if revision else (),
        actor=revision.actor if revision else "", created_at=revision.created_at if revision else None, content=content,
    )  # fmt: skip


def state(found: Service) -> Literal["new", "live", "stopped"]:
    if found.live is None:
        return "new"
    return "stopped" if found.is_stopped else "live"


def lock(found: Lock | None) -> Lock | None:
    return found if found and found.until > datetime.now(UTC) else None
