"""What GitHub was told about each deployment, against what is true."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from sqlite_utils import Database

from bot.github.deployments import Status
from bot.models import Deployment
from bot.store.connection import Connection, change, now, question, rows
from bot.store.history import select_deployments

# https://docs.github.com/en/rest/deployments/statuses; a release that serves no more is inactive, and it serves until
# the one after it has proven itself.
_SERVES = """EXISTS (SELECT 1 FROM services AS s JOIN deployments AS l ON l.id = s.live
    WHERE s.name = d.service AND NOT s.is_stopped
    AND (l.id = d.id OR (l.previous = d.id AND l.state NOT IN (SELECT state FROM ended_states))))"""
# While its image is looked up it may turn out to be of another commit. Nothing goes back to the queue at GitHub.
_TRUE = f"""CASE WHEN d.state IN ('waiting', 'queued') AND told.status = '' THEN 'queued'
    WHEN d.state IN ('waiting', 'queued', 'resolving') THEN told.status
    WHEN d.state = 'succeeded' THEN CASE WHEN {_SERVES} THEN 'success' ELSE 'inactive' END
    WHEN d.state IN ('failed', 'rolled_back', 'needs_attention') THEN 'failure'
    WHEN d.state IN (SELECT state FROM ended_states) THEN 'inactive'
    ELSE 'in_progress' END"""  # noqa: S608
_AT_ONCE = 50
AGAIN = timedelta(hours=1)  # after a refusal, for what serves


class Untold(NamedTuple):
    """`status` is what GitHub should show.

    `number` is its own, 0 when not known; `was_begun`: it may exist there all the same. Both are of `repository` and
    `commit`: those that were known when GitHub was told first. `saying`: a status that it may show already.
    """

    deployment: Deployment
    status: Status
    repository: str
    commit: str
    number: int
    was_begun: bool
    saying: str

    @property
    def is_of_another_commit(self) -> bool:
        """The image turned out to be built from another one than the push had said."""
        found = self.deployment
        is_same = (self.repository.lower(), self.commit) == (found.repository.lower(), found.commit)
        return self.was_begun and not is_same


class Refusal(NamedTuple):
    """Why GitHub does not show a deployment, the newest one of its service."""

    service: str
    repository: str
    reason: str


class Told(Connection):
    @question
    def untold(self, db: Database) -> tuple[Untold, ...]:
        """What GitHub does not show as it is: only what has a commit in a repository, and what never served only when
        GitHub knows of it. In the order of the deployments, but what serves no more comes after what serves instead."""
        query = f"""SELECT * FROM (
                SELECT d.id, d.state, {_TRUE} AS status, told.status AS told_status, told.repository, told."commit",
                    told.number, told.saying, told.refusal, told.refused_at, d.switched_at
                FROM told JOIN deployments AS d ON d.id = told.deployment
                WHERE told.is_open AND d.repository <> '' AND d."commit" <> '')
            WHERE status <> told_status AND (refusal = '' OR (status = 'success' AND refused_at < ?))
                AND (status <> 'inactive' OR repository <> '' OR (state = 'succeeded' AND switched_at IS NOT NULL))
            ORDER BY status = 'inactive' AND number > 0, id LIMIT ?"""  # noqa: S608
        again = (datetime.now(UTC) - AGAIN).isoformat(timespec="milliseconds")
        found = rows(db, query, [again, _AT_ONCE])
        marks = ", ".join("?" for _ in found)
        ids = [row["id"] for row in found]
        known = {d.id: d for d in select_deployments(db, f"SELECT * FROM deployments WHERE id IN ({marks})", ids)}  # noqa: S608
        return tuple(
            Untold(
                known[row["id"]], row["status"], row["repository"] or known[row["id"]].repository,
                row["commit"] or known[row["id"]].commit, row["number"], row["repository"] != "", row["saying"],
            )
            for row in found
        )  # fmt: skip

    @change
    def begin_telling(self, db: Database, id: int, repository: str, commit: str) -> None:
        """Before GitHub is asked to make it: after a kill or a lost answer it is looked for, not made again."""
        db.execute(
            "UPDATE told SET repository = ?, \"commit\" = ?, number = 0, status = '', saying = '' WHERE deployment = ?",
            [repository, commit, id],
        )

    @change
    def know_number(self, db: Database, id: int, number: int) -> None:
        db.execute("UPDATE told SET number = ? WHERE deployment = ?", [number, id])

    @change
    def begin_saying(self, db: Database, id: int, status: Status) -> None:
        """Before GitHub is told: after a kill or a lost answer it is asked what it shows."""
        db.execute("UPDATE told SET saying = ? WHERE deployment = ?", [status, id])

    @change
    def told(self, db: Database, id: int, status: str) -> None:
        """GitHub shows it. What cannot change any more is not looked at again."""
        db.execute(
            """UPDATE told SET status = ?, saying = '', refusal = '', refused_at = '', is_open = ? IN ('queued',
                'in_progress', 'success') WHERE deployment = ?""",
            [status, status, id],
        )
        _close_refused(db, id)

    @change
    def was_refused(self, db: Database, id: int, refusal: str) -> None:
        """GitHub does not take it: not tried again, but for what serves, some time later."""
        db.execute(
            "UPDATE told SET saying = '', refusal = ?, refused_at = ? WHERE deployment = ?", [refusal, now(), id]
        )
        _close_refused(db, id)

    @change
    def leave_untold(self, db: Database, id: int) -> None:
        """GitHub is not to be told of this one at all."""
        db.execute("UPDATE told SET is_open = 0 WHERE deployment = ?", [id])

    @question
    def refusals(self, db: Database) -> tuple[Refusal, ...]:
        """Of services that are still there: what GitHub refused about their newest deployment of a commit."""
        query = """SELECT d.service, d.repository, told.refusal
            FROM told JOIN deployments AS d ON d.id = told.deployment
            WHERE told.refusal <> '' AND d.id = (SELECT max(e.id) FROM deployments AS e
                JOIN told AS t ON t.deployment = e.id
                WHERE e.service = d.service AND (t.refusal <> '' OR t.status <> ''))
            AND d.service IN (SELECT name FROM services) ORDER BY d.service"""
        return tuple(Refusal(row["service"], row["repository"], row["refusal"]) for row in rows(db, query))

    @change
    def tell_nothing_older(self, db: Database) -> None:
        """What happened while nobody told GitHub is not told; what it has been told of still follows what is true."""
        db.execute("UPDATE told SET is_open = 0 WHERE number = 0 AND repository = ''")


def _close_refused(db: Database, id: int) -> None:
    """What was refused of the same service before `id` is not looked at any more."""
    query = """UPDATE told SET is_open = 0 WHERE is_open AND refusal <> '' AND deployment < ? AND
        (SELECT service FROM deployments WHERE id = deployment) = (SELECT service FROM deployments WHERE id = ?)"""
    db.execute(query, [id, id])
