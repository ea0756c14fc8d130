"""Deployments and their steps: what was wanted, and what happened."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
from sqlite_utils import Database

from bot.errors import Conflict, Locked
from bot.models import Deployment, Hold, Kind, Service, Slot, State, Wanted
from bot.store.connection import Connection, change, now, rows
from bot.store.history import ENDED, find_deployment, select_deployments
from bot.store.origins import fill
from bot.store.services import find_service, set_hold

_KEEP_THE_IMAGE = (Kind.RESTART, Kind.START, Kind.CONFIGURE)
_PENDING = f"'{State.WAITING}', '{State.QUEUED}'"


class Deployments(Connection):
    @change
    def want(self, db: Database, wanted: Wanted) -> Deployment:
        """Records what an entry point asks for; the one call all of them end in.

        Newest wins: what waited for the same service becomes `superseded`, and what it was to bring is brought by
        the new one if that names no image of its own. What nobody has approved yet is never brought along so: it
        waits on beside a restart. Raises `NotFound`; `Conflict` while the service is locked.
        """
        return want(db, wanted)

    @change
    def claim(self, db: Database, name: str) -> Deployment | None:
        """Begins what is queued for a service, with its configuration of this moment (a rollback keeps its own).

        None when nothing is queued, or when it is automatic and hold, lock or stop came while it was queued.
        """
        query = "SELECT * FROM deployments WHERE service = ? AND state = ? ORDER BY id LIMIT 1"
        queued = select_deployments(db, query, [name, State.QUEUED])
        if not queued:
            return None
        deployment, service = queued[0], find_service(db, name)
        id = deployment.id
        if deployment.is_automatic and keeps_back(service):
            _update(db, id, state=State.HELD, finished_at=now(), **_held(service))
            return None
        if deployment.kind is not Kind.ROLLBACK:
            _update(
                db, id, configuration=service.configuration.model_dump_json(), image=service.configuration.image,
                environment_revision=service.environment_revision,
            )  # fmt: skip
        _update(
            db, id, state=State.RESOLVING, previous=service.live, attempts=deployment.attempts + 1,
            **({} if deployment.started_at else {"started_at": now()}),
        )  # fmt: skip
        return find_deployment(db, id)

    @change
    def enter(self, db: Database, id: int, state: State, slot: Slot | None = None) -> None:
        """Writes the intent before the effect: the state, its step's start and the slot it will use."""
        _update(db, id, state=state, **({"slot": slot} if slot else {}))
        db.execute("INSERT INTO steps (deployment, state, started_at) VALUES (?, ?, ?)", [id, state, now()])

    @change
    def leave(self, db: Database, id: int, detail: dict[str, Any], *, has_switched: bool = False) -> None:
        """Ends the running step; `detail` is what it found. What it is an image of is kept on the deployment, too.

        `has_switched`: from now on this deployment is the one that serves.
        """
        if has_switched:
            switched(db, find_deployment(db, id))
        db.execute(
            "UPDATE steps SET ended_at = ?, detail = ? WHERE deployment = ? AND ended_at IS NULL",
            [now(), orjson.dumps(detail).decode(), id],
        )
        kept = ("digest", "tag", "commit", "repository")
        if found := {column: detail[column] for column in kept if detail.get(column)}:
            _update(db, id, **found)
            fill(db, id)

    @change
    def switched(self, db: Database, id: int) -> None:
        """The flag is set: this deployment serves now. Safe to repeat."""
        switched(db, find_deployment(db, id))

    @change
    def requeue(self, db: Database, id: int) -> None:
        """Back to the queue after a kill; gives way when something newer is waiting, or was approved, by now."""
        back_to_queue(db, find_deployment(db, id))

    @change
    def finish(self, db: Database, id: int, ending: State, *, error_code: str = "", error: str = "",
               next_step: str = "", log: str = "", exit_code: int | None = None) -> Deployment:  # fmt: skip
        """Ends a deployment. Rolled back: the one before serves again, and a hold is set."""
        deployment = find_deployment(db, id)
        if deployment.state.is_ending:
            raise Conflict(f"Deployment {id} has already ended as {deployment.state}.")
        _end_open_step(db, id)
        _update(
            db, id, state=ending, finished_at=now(), error_code=error_code, error=error, next_step=next_step, log=log,
            exit_code=exit_code,
        )  # fmt: skip
        if ending is State.ROLLED_BACK:
            db.execute("UPDATE services SET live = ? WHERE name = ?", [deployment.previous, deployment.service])
            set_hold(db, deployment.service, _hold(f"{deployment.release} was returned by itself: {error}", "o8"))
        return find_deployment(db, id)

    @change
    def cancel_pending(self, db: Database, id: int, reason: str) -> bool:
        """Ends a deployment that has not begun; False when it is no longer waiting or queued."""
        query = f"UPDATE deployments SET state = ?, finished_at = ?, error = ? WHERE id = ? AND state IN ({_PENDING})"  # noqa: S608
        return db.execute(query, [State.CANCELLED, now(), reason, id]).rowcount == 1

    @change
    def expire_queued(self, db: Database, service: str, reason: str) -> None:
        """Fails what has waited too long for one of the global places."""
        for waiting in _pending(db, service):
            if waiting.state is State.QUEUED:
                _update(db, waiting.id, state=State.FAILED, finished_at=now(), error_code="queue", error=reason)

    @change
    def approve(self, db: Database, id: int, by: str) -> Deployment:
        """Lets a waiting deployment into the queue; raises `Conflict` when it does not wait (any more).

        A restart or new configuration that is queued becomes `superseded`: this one makes new containers, too.
        """
        deployment = find_deployment(db, id)
        if deployment.state is not State.WAITING:
            raise Conflict(f"Deployment {id} does not wait for approval: it is {deployment.state}.")
        refuse_while_locked(find_service(db, deployment.service))
        for other in _pending(db, deployment.service):
            if other.state is State.QUEUED:
                _update(db, other.id, state=State.SUPERSEDED, finished_at=now())
        _update(db, id, state=State.QUEUED, approved_by=by)
        return find_deployment(db, id)


def want(db: Database, wanted: Wanted) -> Deployment:
    """`Deployments.want` inside a transaction that is already open."""
    service = find_service(db, wanted.service)
    state = _first_state(service, wanted)
    target = find_deployment(db, wanted.target) if wanted.target else None
    tag, digest, commit, repository = wanted.tag, wanted.digest, wanted.commit, wanted.repository
    if state in (State.QUEUED, State.WAITING):
        for waiting in _pending(db, service.name):
            if waiting.state is State.WAITING and state is State.QUEUED and wanted.kind in _KEEP_THE_IMAGE:
                continue  # nobody has approved that release yet: a restart must not be the way around
            if not tag and wanted.kind is not Kind.ROLLBACK and waiting.kind is not Kind.ROLLBACK:
                tag, digest = waiting.tag, waiting.digest
                commit, repository = waiting.commit, waiting.repository
            _update(db, waiting.id, state=State.SUPERSEDED, finished_at=now())
    configuration = target.configuration if target else service.configuration
    row: dict[str, Any] = {
        "service": service.name, "kind": wanted.kind, "state": state, "actor": wanted.actor, "reason": wanted.reason,
        "image": target.image if target else configuration.image, "tag": target.tag if target else tag,
        "digest": target.digest if target else digest, "commit": target.commit if target else commit,
        "repository": target.repository if target else repository, "pusher": wanted.pusher,
        "delivery": wanted.delivery, "is_automatic": wanted.is_automatic, "target": wanted.target,
        "configuration": configuration.model_dump_json(),
        "environment_revision": target.environment_revision if target else service.environment_revision,
        "created_at": now(), "finished_at": now() if state.is_ending else None,
    }  # fmt: skip
    if state is State.HELD:
        row |= _held(service)
    columns = ", ".join(f'"{column}"' for column in row)
    marks = ", ".join("?" for _ in row)
    statement = f"INSERT INTO deployments ({columns}) VALUES ({marks})"  # noqa: S608
    id = db.execute(statement, list(row.values())).lastrowid
    if wanted.kind is Kind.ROLLBACK:
        set_hold(db, service.name, _hold(f"rollback to {row['tag'] or row['digest'][:19]}", wanted.actor))
    return find_deployment(db, id or 0)


def switched(db: Database, deployment: Deployment) -> None:
    db.execute("UPDATE deployments SET switched_at = coalesce(switched_at, ?) WHERE id = ?", [now(), deployment.id])
    db.execute("UPDATE services SET live = ?, is_stopped = 0 WHERE name = ?", [deployment.id, deployment.service])


def back_to_queue(db: Database, deployment: Deployment) -> None:
    _end_open_step(db, deployment.id)
    newer = rows(
        db, f"""SELECT id FROM deployments WHERE service = ? AND state IN ({_PENDING})
            AND (id > ? OR state = ?)""",  # noqa: S608
        [deployment.service, deployment.id, State.QUEUED],
    )  # fmt: skip
    if newer:
        _update(db, deployment.id, state=State.SUPERSEDED, slot=None, finished_at=now())
    else:
        _update(db, deployment.id, state=State.QUEUED, slot=None)


def as_restored(db: Database) -> None:
    """Ends what was under way when a backup was made: the flags and containers that are there now are not of then, and
    `Deployer.pick_up` would draw false conclusions from them. What served has succeeded, the rest begins again.
    """
    query = f"SELECT * FROM deployments WHERE state NOT IN ({ENDED}, {_PENDING}) ORDER BY id"  # noqa: S608
    for deployment in select_deployments(db, query, []):
        if deployment.switched_at is None:
            back_to_queue(db, deployment)
        else:
            _end_open_step(db, deployment.id)
            _update(db, deployment.id, state=State.SUCCEEDED, finished_at=now())


def _first_state(service: Service, wanted: Wanted) -> State:
    if wanted.is_automatic and keeps_back(service):
        return State.HELD
    if not wanted.is_repair:
        refuse_while_locked(service)
    return State.WAITING if wanted.needs_approval else State.QUEUED


def keeps_back(service: Service) -> bool:
    """Whether automatic deployments are recorded but not run."""
    return bool(service.hold) or service.is_stopped or _is_locked(service)


def _is_locked(service: Service) -> bool:
    return service.lock is not None and service.lock.until > datetime.now(UTC)


def refuse_while_locked(service: Service) -> None:
    """Raises `Locked` while nobody may deploy `service`."""
    if service.lock and _is_locked(service):
        raise Locked(
            f"{service.name} is locked by {service.lock.actor} until {service.lock.until:%Y-%m-%d %H:%M} UTC: "
            f"{service.lock.reason}.",
            f"`o8 unlock {service.name}` lifts the lock.",
            service.name,
        )


def _held(service: Service) -> dict[str, str]:
    """Why an automatic deployment is not run, and what to do about it."""
    name, deploys = service.name, f"`o8 deploy {service.name}` deploys the newest"
    if service.is_stopped:
        return {"error": f"{name} is stopped.", "next_step": f"{deploys} and starts it."}
    if hold := service.hold:
        why = f"{name} is on hold by {hold.actor}: {hold.reason}."
        return {"error": why, "next_step": f"`o8 resume {name}` deploys the newest."}
    lock = service.lock
    why = f"{name} is locked by {lock.actor}: {lock.reason}." if lock else ""
    return {"error": why, "next_step": f"After `o8 unlock {name}`, {deploys}."}


def _update(db: Database, id: int, **values: Any) -> None:
    columns = ", ".join(f'"{column}" = ?' for column in values)
    db.execute(f"UPDATE deployments SET {columns} WHERE id = ?", [*values.values(), id])  # noqa: S608


def _hold(reason: str, actor: str) -> Hold:
    return Hold.model_validate({"reason": reason[:500], "actor": actor, "since": now()})


def _pending(db: Database, service: str) -> tuple[Deployment, ...]:
    query = f"SELECT * FROM deployments WHERE service = ? AND state IN ({_PENDING}) ORDER BY id"  # noqa: S608
    return select_deployments(db, query, [service])


def _end_open_step(db: Database, id: int) -> None:
    db.execute("UPDATE steps SET ended_at = ? WHERE deployment = ? AND ended_at IS NULL", [now(), id])
