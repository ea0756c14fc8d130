"""Certificates that could not be had, and what the channel is told of those that are missing, about to end or over."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from sqlite_utils import Database

from bot.chat import CertificateAlarm
from bot.errors import NotFound
from bot.store.connection import Connection, change, now, question, rows

ONE_A_DAY = timedelta(days=1)


class Failure(NamedTuple):
    """`tries`: how often in a row the authority gave none for `names`; 0 when it could not even be asked."""

    names: frozenset[str]
    trouble: str
    tries: int
    failed_at: datetime


class Certificates(Connection):
    @question
    def certificate_failures(self, db: Database) -> dict[str, Failure]:
        """By service."""
        return {
            row["service"]: Failure(
                frozenset(row["names"].split()), row["trouble"], row["tries"], datetime.fromisoformat(row["failed_at"])
            )
            for row in rows(db, "SELECT * FROM certificate_failures")
        }

    @change
    def certificate_failed(
        self, db: Database, service: str, names: frozenset[str], trouble: str, *, is_refusal: bool
    ) -> None:
        """One more try in vain; for other names than before it is the first."""
        db.execute(
            """INSERT INTO certificate_failures VALUES (?, ?, ?, ?, ?)
            ON CONFLICT (service) DO UPDATE SET tries = iif(names = excluded.names, tries, 0) + excluded.tries,
                names = excluded.names, trouble = excluded.trouble, failed_at = excluded.failed_at""",
            [service, " ".join(sorted(names)), trouble, int(is_refusal), now()],
        )

    @change
    def forget_certificate_failure(self, db: Database, service: str) -> None:
        """It is there, is none of ours any more, or is to be tried again at once."""
        db.execute("DELETE FROM certificate_failures WHERE service = ?", [service])

    @question
    def open_certificate_alarms(self, db: Database) -> tuple[CertificateAlarm, ...]:
        query = "SELECT * FROM certificate_alarms WHERE ended_at IS NULL"
        return tuple(map(CertificateAlarm.model_validate, rows(db, query)))

    @question
    def certificate_alarm(self, db: Database, id: int) -> CertificateAlarm:
        found = rows(db, "SELECT * FROM certificate_alarms WHERE id = ?", [id])
        if not found:
            raise NotFound(f"There is no alarm {id}.")
        return CertificateAlarm.model_validate(found[0])

    @change
    def raise_certificate_alarm(
        self, db: Database, service: str, level: str, trouble: str, ends_at: datetime | None
    ) -> None:
        """A new card, at most one a day for each level: within a day of the one before, that is open again."""
        since = (datetime.now(UTC) - ONE_A_DAY).isoformat(timespec="milliseconds")
        query = (
            "SELECT * FROM certificate_alarms WHERE service = ? AND level = ? AND (ended_at IS NULL OR began_at > ?)"
        )
        if known := rows(db, query, [service, level, since]):
            before = CertificateAlarm.model_validate(known[-1])
            if (before.trouble, before.ends_at, before.ended_at) != (trouble, ends_at, None):
                _change(db, before.id, trouble, ends_at, is_over=False)
            return
        statement = "INSERT INTO certificate_alarms (service, level, trouble, ends_at, began_at) VALUES (?, ?, ?, ?, ?)"
        values = [service, level, trouble, ends_at.isoformat() if ends_at else None, now()]
        id = db.execute(statement, values).lastrowid
        db.execute(
            "INSERT INTO cards (kind, subject, service, changed_at) VALUES ('certificate', ?, ?, ?)",
            [id, service, now()],
        )

    @change
    def end_certificate_alarm(self, db: Database, id: int, ends_at: datetime | None) -> None:
        """`ends_at`: of the certificate that there is now; None when none is needed any more."""
        _change(db, id, "", ends_at, is_over=True)


def _change(db: Database, id: int, trouble: str, ends_at: datetime | None, *, is_over: bool) -> None:
    db.execute(
        "UPDATE certificate_alarms SET trouble = ?, ends_at = ?, ended_at = ? WHERE id = ?",
        [trouble, ends_at.isoformat() if ends_at else None, now() if is_over else None, id],
    )
    db.execute(
        "UPDATE cards SET wanted = wanted + 1, is_final = ?, changed_at = ? WHERE kind = 'certificate' AND subject = ?",
        [is_over, now(), str(id)],
    )
