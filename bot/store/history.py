"""What was deployed, read back: one deployment, lists of them, what changed since."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson
from sqlite_utils import Database

from bot.errors import NotFound
from bot.models import ENDINGS, Deployment, Service, State, Step
from bot.store.connection import Connection, question, rows
from bot.store.services import configuration_of, select_services

ENDED = ", ".join(f"'{state}'" for state in sorted(ENDINGS))


class Overview(NamedTuple):
    """A service with the deployment that serves and the newest one."""

    service: Service
    live: Deployment | None
    last: Deployment | None


class History(Connection):
    @question
    def deployment(self, db: Database, id: int) -> Deployment:
        return find_deployment(db, id)

    @question
    def deployments(self, db: Database, service: str = "", limit: int = 20, before: int = 0,
                    seen: Sequence[str] | None = None) -> tuple[Deployment, ...]:  # fmt: skip
        """Newest first, at most `limit`, with ids below `before` (0: from the newest).

        `seen`: only of these services; None: of all, also of those that were removed.
        """
        query = """SELECT * FROM deployments WHERE (? = '' OR service = ?) AND (? = 0 OR id < ?)
            AND (? IS NULL OR service IN (SELECT value FROM json_each(?))) ORDER BY id DESC LIMIT ?"""
        names = None if seen is None else orjson.dumps(list(seen)).decode()
        return select_deployments(db, query, [service, service, before, before, names, names, limit])

    @question
    def overview(self, db: Database) -> tuple[Overview, ...]:
        """Every service by name, with what serves and what was asked for last; both without their steps.

        Lists are asked for every few seconds, and reading steps takes most of the time.
        """
        found = rows(db, """SELECT * FROM deployments WHERE id IN (SELECT live FROM services UNION ALL
            SELECT (SELECT max(id) FROM deployments WHERE service = name) FROM services) ORDER BY id""")  # fmt: skip
        deployments = [_deployment(row, ()) for row in found]
        by_id = {each.id: each for each in deployments}
        by_name = {each.service: each for each in deployments}  # the last one stays
        return tuple(
            Overview(service, by_id.get(service.live or 0), by_name.get(service.name))
            for service in select_services(db, "SELECT * FROM services ORDER BY name")
        )

    @question
    def changed_deployments(self, db: Database, since: int, limit: int = 100) -> tuple[Deployment, ...]:
        """What changed after the revision `since`, in the order of the changes."""
        query = "SELECT * FROM deployments WHERE revision > ? ORDER BY revision LIMIT ?"
        return select_deployments(db, query, [since, limit])

    @question
    def revision(self, db: Database) -> int:
        """That of the newest change of a deployment."""
        return int(rows(db, "SELECT ifnull(max(revision), 0) AS n FROM deployments")[0]["n"])

    @question
    def unfinished(self, db: Database) -> tuple[Deployment, ...]:
        """Neither ended nor waiting for a person, oldest first: what a start of o8 has to take care of."""
        return select_deployments(
            db,
            f"SELECT * FROM deployments WHERE state NOT IN ({ENDED}, '{State.WAITING}') ORDER BY id",  # noqa: S608
        )

    @question
    def pending(self, db: Database) -> tuple[Deployment, ...]:
        """Everything that has not ended, oldest first; also what waits for a person."""
        return select_deployments(db, f"SELECT * FROM deployments WHERE state NOT IN ({ENDED}) ORDER BY id")  # noqa: S608


def find_deployment(db: Database, id: int) -> Deployment:
    found = select_deployments(db, "SELECT * FROM deployments WHERE id = ?", [id])
    if not found:
        raise no_deployment(id)
    return found[0]


def no_deployment(id: int) -> NotFound:
    """The words for a deployment that does not exist, or that somebody must not know of: there is no difference."""
    return NotFound(f"There is no deployment {id}.", "`o8 deployments` lists them.")


def select_deployments(db: Database, query: str, parameters: Any = ()) -> tuple[Deployment, ...]:
    found = rows(db, query, parameters)
    marks = ", ".join("?" for _ in found)
    steps: defaultdict[int, list[Step]] = defaultdict(list)
    query = f"SELECT * FROM steps WHERE deployment IN ({marks}) ORDER BY id"  # noqa: S608
    for row in rows(db, query, [deployment["id"] for deployment in found]):
        steps[row["deployment"]].append(Step.model_validate(row | {"detail": orjson.loads(row["detail"])}))
    return tuple(_deployment(row, tuple(steps[row["id"]])) for row in found)


def _deployment(row: dict[str, Any], steps: tuple[Step, ...]) -> Deployment:
    return Deployment.model_validate(row | {"configuration": configuration_of(row["configuration"]), "steps": steps})
