"""Deployments and their steps: what was wanted, what happened, what may be returned to."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import orjson
from sqlite_utils import Database

from bot.errors import Conflict, NotFound
from bot.models import ENDINGS, Deployment, Hold, Kind, Service, Slot, State, Step, Wanted
from bot.store.connection import Connection, change, now, question, rows
from bot.store.services import find_service, set_hold

_ENDED = ", ".join(f"'{state}'" for state in sorted(ENDINGS))
_PENDING = f"'{State.WAITING}', '{State.QUEUED}'"


class Deployments(Connection):
    @change
    def want(self, db: Database, wanted: Wanted) -> Deployment:
        """Records what an entry point asks for; the one call all of them end in.

        Newest wins: what waited for the same service becomes `superseded`, and what it was to bring is brought by
        the new one if that names no image of its own. Raises `NotFound`; `Conflict` while the service is locked.
        """
        return want(db, wanted)

    @question
    def deployment(self, db: Database, id: int) -> Deployment:
        return find_deployment(db, id)

    @question
    def deployments(self, db: Database, service: str = "", limit: int = 20, before: int = 0) -> tuple[Deployment, ...]:
        """Newest first, at most `limit`, with ids below `before` (0: from the newest)."""
        query = "SELECT * FROM deployments WHERE (? = '' OR service = ?) AND (? = 0 OR id < ?) ORDER BY id DESC LIMIT ?"
        return _deployments(db, query, [service, service, before, before, limit])

    @question
    def unfinished(self, db: Database) -> tuple[Deployment, ...]:
        """Neither ended nor waiting for a person, oldest first: what a start of o8 has to take care of."""
        return _deployments(
            db, f"SELECT * FROM deployments WHERE state NOT IN ({_ENDED}, '{State.WAITING}') ORDER BY id"  # noqa: S608
        )

    @question
    def releases(self, db: Database, service: str) -> tuple[Deployment, ...]:
        """What rollback chooses from, newest first; an image and configuration that came twice is there once."""
        return releases(db, find_service(db, service))

    @question
    def failed_attempts(self, db: Database, service: str) -> frozenset[tuple[str, str]]:
        return failed_attempts(db, service)

    @change
    def claim(self, db: Database, name: str) -> Deployment | None:
        """Begins what is queued for a service, with its configuration of this moment (a rollback keeps its own).

        None when nothing is queued.
        """
        query = "SELECT * FROM deployments WHERE service = ? AND state = ? ORDER BY id LIMIT 1"
        queued = _deployments(db, query, [name, State.QUEUED])
        if not queued:
            return None
        deployment, service = queued[0], find_service(db, name)
        id = deployment.id
        if deployment.kind is not Kind.ROLLBACK:
            db.execute(
                "UPDATE deployments SET configuration = ?, image = ?, environment_revision = ? WHERE id = ?",
                [service.configuration.model_dump_json(), service.configuration.image,
                 service.environment_revision, id],
            )  # fmt: skip
        db.execute(
            "UPDATE deployments SET started_at = coalesce(started_at, ?), previous = ?, attempts = attempts + 1, "
            "state = ? WHERE id = ?",
            [now(), service.live, State.RESOLVING, id],
        )
        return find_deployment(db, id)

    @change
    def enter(self, db: Database, id: int, state: State, slot: Slot | None = None) -> None:
        """Writes the intent before the effect: the state, its step's start and the slot it will use."""
        db.execute("UPDATE deployments SET state = ?, slot = coalesce(?, slot) WHERE id = ?", [state, slot, id])
        db.execute("INSERT INTO steps (deployment, state, started_at) VALUES (?, ?, ?)", [id, state, now()])

    @change
    def leave(self, db: Database, id: int, detail: dict[str, Any], *, has_switched: bool = False) -> None:
        """Ends the running step; `detail` is what it found. A `digest` or `tag` in it is kept on the deployment.

        `has_switched`: from now on this deployment is the one that serves.
        """
        if has_switched:
            switched(db, find_deployment(db, id))
        db.execute(
            "UPDATE steps SET ended_at = ?, detail = ? WHERE deployment = ? AND ended_at IS NULL",
            [now(), orjson.dumps(detail).decode(), id],
        )
        for column in ("digest", "tag"):
            if column in detail:
                db.execute(f"UPDATE deployments SET {column} = ? WHERE id = ?", [detail[column], id])  # noqa: S608

    @change
    def switched(self, db: Database, id: int) -> None:
        """The flag is set: this deployment serves now. Safe to repeat."""
        switched(db, find_deployment(db, id))

    @change
    def requeue(self, db: Database, id: int) -> None:
        """Back to the queue after a kill; gives way when something newer is waiting by now."""
        deployment = find_deployment(db, id)
        _end_open_step(db, id)
        newer = rows(
            db, f"SELECT id FROM deployments WHERE service = ? AND id > ? AND state IN ({_PENDING})",  # noqa: S608
            [deployment.service, id],
        )  # fmt: skip
        state = State.SUPERSEDED if newer else State.QUEUED
        db.execute("UPDATE deployments SET state = ?, slot = NULL WHERE id = ?", [state, id])
        if newer:
            db.execute("UPDATE deployments SET finished_at = ? WHERE id = ?", [now(), id])

    @change
    def finish(self, db: Database, id: int, ending: State, *, error_code: str = "", error: str = "",
               next_step: str = "", log: str = "", exit_code: int | None = None) -> Deployment:  # fmt: skip
        """Ends a deployment. Rolled back: the one before serves again, and a hold is set."""
        deployment = find_deployment(db, id)
        if deployment.state.is_ending:
            raise Conflict(f"Deployment {id} has already ended as {deployment.state}.")
        _end_open_step(db, id)
        db.execute(
            "UPDATE deployments SET state = ?, finished_at = ?, error_code = ?, error = ?, next_step = ?, log = ?, "
            "exit_code = ? WHERE id = ?",
            [ending, now(), error_code, error, next_step, log, exit_code, id],
        )
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
                facts = [State.FAILED, now(), "queue", reason, waiting.id]
                db.execute(
                    "UPDATE deployments SET state = ?, finished_at = ?, error_code = ?, error = ? WHERE id = ?", facts
                )

    @change
    def approve(self, db: Database, id: int) -> Deployment:
        """Lets a waiting deployment into the queue; raises `Conflict` when it does not wait (any more)."""
        deployment = find_deployment(db, id)
        if deployment.state is not State.WAITING:
            raise Conflict(f"Deployment {id} does not wait for approval: it is {deployment.state}.")
        db.execute("UPDATE deployments SET state = ? WHERE id = ?", [State.QUEUED, id])
        return find_deployment(db, id)

    @change
    def pulled(self, db: Database, image: str, digest: str, service: str) -> None:
        """Remembers that o8 itself fetched an image: only such ones are ever removed."""
        db.execute("INSERT OR IGNORE INTO images VALUES (?, ?, ?, ?)", [image, digest, service, now()])

    @question
    def spare_images(self, db: Database, name: str) -> tuple[tuple[str, str], ...]:
        """Images that o8 pulled for a service and that neither a kept release nor an open deployment needs."""
        service = find_service(db, name)
        kept = {release.digest for release in releases(db, service)[: service.configuration.keep_releases]}
        open_ = f"SELECT digest FROM deployments WHERE state NOT IN ({_ENDED}) OR id IN (SELECT live FROM services)"  # noqa: S608
        kept |= {row["digest"] for row in rows(db, open_)}
        found = rows(db, "SELECT image, digest FROM images WHERE service = ?", [name])
        return tuple((row["image"], row["digest"]) for row in found if row["digest"] not in kept)

    @change
    def forget_image(self, db: Database, image: str, digest: str) -> None:
        db.execute("DELETE FROM images WHERE image = ? AND digest = ?", [image, digest])


def want(db: Database, wanted: Wanted) -> Deployment:
    """`Deployments.want` inside a transaction that is already open."""
    service = find_service(db, wanted.service)
    state = _first_state(service, wanted)
    target = find_deployment(db, wanted.target) if wanted.target else None
    tag, digest, commit = wanted.tag, wanted.digest, wanted.commit
    if state in (State.QUEUED, State.WAITING):
        for waiting in _pending(db, service.name):
            if not tag and wanted.kind is not Kind.ROLLBACK and waiting.kind is not Kind.ROLLBACK:
                tag, digest, commit = waiting.tag, waiting.digest, waiting.commit
            db.execute("UPDATE deployments SET state = ?, finished_at = ? WHERE id = ?",
                       [State.SUPERSEDED, now(), waiting.id])  # fmt: skip
    configuration = target.configuration if target else service.configuration
    row: dict[str, Any] = {
        "service": service.name, "kind": wanted.kind, "state": state, "actor": wanted.actor, "reason": wanted.reason,
        "image": target.image if target else configuration.image, "tag": target.tag if target else tag,
        "digest": target.digest if target else digest, "commit": target.commit if target else commit,
        "delivery": wanted.delivery, "is_automatic": wanted.is_automatic, "target": wanted.target,
        "configuration": configuration.model_dump_json(),
        "environment_revision": target.environment_revision if target else service.environment_revision,
        "created_at": now(), "finished_at": now() if state.is_ending else None,
    }  # fmt: skip
    if state is State.HELD:
        row |= {"error": _why_held(service), "next_step": f"`o8 resume {service.name}` deploys the newest."}
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


def find_deployment(db: Database, id: int) -> Deployment:
    found = _deployments(db, "SELECT * FROM deployments WHERE id = ?", [id])
    if not found:
        raise NotFound(f"There is no deployment {id}.", "`o8 deployments` lists them.")
    return found[0]


def releases(db: Database, service: Service) -> tuple[Deployment, ...]:
    query = (
        "SELECT * FROM deployments WHERE service = ? AND state = ? AND kind <> ? AND created_at >= ? ORDER BY id DESC"
    )
    since = service.created_at.isoformat(timespec="milliseconds")
    distinct: dict[tuple[str, str, str, int], Deployment] = {}
    for release in _deployments(db, query, [service.name, State.SUCCEEDED, Kind.ROLLBACK, since]):
        distinct.setdefault(release.identity, release)
    return tuple(distinct.values())


def failed_attempts(db: Database, service: str) -> frozenset[tuple[str, str]]:
    """Tag and digest of what failed or was rolled back and has not succeeded since: not tried again by itself."""
    query = f"SELECT tag, digest, state FROM deployments WHERE service = ? AND state IN ({_ENDED}) ORDER BY id"  # noqa: S608
    failed: set[tuple[str, str]] = set()
    for row in rows(db, query, [service]):
        attempt = (row["tag"], row["digest"])
        if row["state"] in (State.FAILED, State.ROLLED_BACK, State.CANCELLED):
            failed.add(attempt)
        elif row["state"] == State.SUCCEEDED:
            failed.discard(attempt)
    return frozenset(failed)


def _first_state(service: Service, wanted: Wanted) -> State:
    is_locked = service.lock is not None and service.lock.until.isoformat() > now()
    if wanted.is_automatic and (service.hold or is_locked or service.is_stopped):
        return State.HELD
    if is_locked and service.lock and not wanted.is_repair:
        raise Conflict(
            f"{service.name} is locked by {service.lock.actor} until {service.lock.until:%Y-%m-%d %H:%M} UTC: "
            f"{service.lock.reason}.",
            f"`o8 unlock {service.name}` lifts the lock.",
        )
    return State.WAITING if wanted.needs_approval else State.QUEUED


def _why_held(service: Service) -> str:
    if service.is_stopped:
        return f"{service.name} is stopped."
    word, by = ("on hold", service.hold) if service.hold else ("locked", service.lock)
    return f"{service.name} is {word} by {by.actor}: {by.reason}." if by else ""


def _hold(reason: str, actor: str) -> Hold:
    return Hold.model_validate({"reason": reason[:500], "actor": actor, "since": now()})


def _pending(db: Database, service: str) -> tuple[Deployment, ...]:
    query = f"SELECT * FROM deployments WHERE service = ? AND state IN ({_PENDING}) ORDER BY id"  # noqa: S608
    return _deployments(db, query, [service])


def _end_open_step(db: Database, id: int) -> None:
    db.execute("UPDATE steps SET ended_at = ? WHERE deployment = ? AND ended_at IS NULL", [now(), id])


def _deployments(db: Database, query: str, parameters: Any = ()) -> tuple[Deployment, ...]:
    found = rows(db, query, parameters)
    marks = ", ".join("?" for _ in found)
    steps: defaultdict[int, list[Step]] = defaultdict(list)
    query = f"SELECT * FROM steps WHERE deployment IN ({marks}) ORDER BY id"  # noqa: S608
    for row in rows(db, query, [deployment["id"] for deployment in found]):
        steps[row["deployment"]].append(Step.model_validate(row | {"detail": orjson.loads(row["detail"])}))
    return tuple(
        Deployment.model_validate(
            row | {"configuration": orjson.loads(row["configuration"]), "steps": tuple(steps[row["id"]])}
        )
        for row in found
    )
