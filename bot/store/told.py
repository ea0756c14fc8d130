"""What GitHub was told about each deployment, against what is true."""

from __future__ import annotations

from typing import NamedTuple

from sqlite_utils import Database

from bot.github.deployments import Status
from bot.models import Deployment
from bot.store.connection import Connection, change, question, rows
from bot.store.history import select_deployments

# https://docs.github.com/en/rest/deployments/statuses; a release that another one replaced is inactive.
_TRUE = """CASE WHEN d.state IN ('waiting', 'queued') THEN 'queued'
    WHEN d.state = 'succeeded' OR d.state IN ('draining', 'watching') THEN
        CASE WHEN EXISTS (SELECT 1 FROM services WHERE live = d.id)
            THEN CASE WHEN d.state = 'succeeded' THEN 'success' ELSE 'in_progress' END ELSE 'inactive' END
    WHEN d.state IN ('failed', 'rolled_back', 'needs_attention') THEN 'failure'
    WHEN d.state IN (SELECT state FROM ended_states) THEN 'inactive'
    ELSE 'in_progress' END"""
_AT_ONCE = 50


class Untold(NamedTuple):
    """`status` is what GitHub should show; `number` its own, 0 when not known; `was_begun`: it may exist there."""

    deployment: Deployment
    status: Status
    number: int
    was_begun: bool


class Told(Connection):
    @question
    def untold(self, db: Database) -> tuple[Untold, ...]:
        """What GitHub does not show as it is, oldest first; only what has a commit in a repository, and what never
        began only when GitHub knows of it."""
        query = f"""SELECT d.id, {_TRUE} AS status, told.number, told.deployment IS NOT NULL AS was_begun
            FROM deployments AS d LEFT JOIN told ON told.deployment = d.id
            WHERE d.repository <> '' AND d."commit" <> '' AND d.id > (
                SELECT ifnull((SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'github_since'), 0))
            AND ifnull(told.status, 'inactive') <> {_TRUE} ORDER BY d.id LIMIT ?"""  # noqa: S608
        found = rows(db, query, [_AT_ONCE])
        marks = ", ".join("?" for _ in found)
        ids = [row["id"] for row in found]
        known = {d.id: d for d in select_deployments(db, f"SELECT * FROM deployments WHERE id IN ({marks})", ids)}  # noqa: S608
        return tuple(
            Untold(known[row["id"]], row["status"], row["number"] or 0, bool(row["was_begun"])) for row in found
        )

    @change
    def begin_telling(self, db: Database, id: int) -> None:
        """Before GitHub is asked to make it."""
        db.execute("INSERT OR IGNORE INTO told (deployment) VALUES (?)", [id])

    @change
    def know_number(self, db: Database, id: int, number: int) -> None:
        db.execute("UPDATE told SET number = ? WHERE deployment = ?", [number, id])

    @change
    def told(self, db: Database, id: int, status: Status, *, refusal: str = "") -> None:
        """GitHub shows it, or has refused it, which is not tried again for this status."""
        db.execute("INSERT OR IGNORE INTO told (deployment) VALUES (?)", [id])
        db.execute("UPDATE told SET status = ?, refusal = ? WHERE deployment = ?", [status, refusal, id])
