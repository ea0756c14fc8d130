"""Disks that are nearly full: since when, and until when. Each has a card, which says so in the channel."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlite_utils import Database

from bot.chat import DiskAlarm
from bot.errors import NotFound
from bot.store.connection import Connection, change, now, question, rows

ONE_A_DAY = timedelta(days=1)


class Alarms(Connection):
    @question
    def open_alarms(self, db: Database) -> tuple[DiskAlarm, ...]:
        """Those of disks that are still that full."""
        return tuple(map(DiskAlarm.model_validate, rows(db, "SELECT * FROM disk_alarms WHERE ended_at IS NULL")))

    @question
    def alarm(self, db: Database, id: int) -> DiskAlarm:
        found = rows(db, "SELECT * FROM disk_alarms WHERE id = ?", [id])
        if not found:
            raise NotFound(f"There is no alarm {id}.")
        return DiskAlarm.model_validate(found[0])

    @change
    def raise_alarm(self, db: Database, folder: str, level: int, free: int, total: int) -> None:
        """`folder`'s disk is at least `level` per cent full: a new card, at most one a day. Within a day of the one
        before, that is open again. Bytes.
        """
        since = (datetime.now(UTC) - ONE_A_DAY).isoformat(timespec="milliseconds")
        query = "SELECT id FROM disk_alarms WHERE folder = ? AND level = ? AND (ended_at IS NULL OR began_at > ?)"
        if known := rows(db, query, [folder, level, since]):
            _change(db, known[-1]["id"], free, total, is_over=False)
            return
        statement = "INSERT INTO disk_alarms (folder, level, free, total, began_at) VALUES (?, ?, ?, ?, ?)"
        id = db.execute(statement, [folder, level, free, total, now()]).lastrowid
        db.execute("INSERT INTO cards (kind, subject, changed_at) VALUES ('disk', ?, ?)", [id, now()])

    @change
    def end_alarm(self, db: Database, id: int, free: int, total: int) -> None:
        """There is room again; its card says so."""
        _change(db, id, free, total, is_over=True)


def _change(db: Database, id: int, free: int, total: int, *, is_over: bool) -> None:
    db.execute(
        "UPDATE disk_alarms SET free = ?, total = ?, ended_at = ? WHERE id = ?",
        [free, total, now() if is_over else None, id],
    )
    db.execute(
        "UPDATE cards SET wanted = wanted + 1, is_final = ?, changed_at = ? WHERE kind = 'disk' AND subject = ?",
        [is_over, now(), str(id)],
    )
