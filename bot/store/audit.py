"""Who did what: append-only, each row bound to the one before it by a hash, so that an edit is seen."""

from __future__ import annotations

import hashlib
from typing import Any

import orjson
from sqlite_utils import Database

from bot.models import AuditEntry
from bot.store.connection import Connection, change, now, question, rows


class Audit(Connection):
    @change
    def record(self, db: Database, actor: str, action: str, subject: str, detail: dict[str, Any]) -> None:
        """Appends one entry; `detail` never holds a secret value."""
        record(db, actor, action, subject, detail)

    @question
    def audit(self, db: Database, limit: int = 50, subject: str = "", before: int = 0) -> tuple[AuditEntry, ...]:
        """The newest first, with ids below `before` (0: from the newest); with a `subject`, such as a service, only
        what was done to it."""
        query = "SELECT * FROM audit WHERE ? IN ('', subject) AND (? = 0 OR id < ?) ORDER BY id DESC LIMIT ?"
        found = rows(db, query, [subject, before, before, limit])
        return tuple(AuditEntry.model_validate(row | {"detail": orjson.loads(row["detail"])}) for row in found)

    @question
    def verify_audit(self, db: Database) -> int | None:
        """The first id from which the chain is broken; None when it is whole."""
        return broken_from(db)


def broken_from(db: Database) -> int | None:
    """The first id from which the chain is broken; None when it is whole."""
    previous, expected = "", 1
    for row in rows(db, "SELECT * FROM audit ORDER BY id"):
        found = row.pop("hash")
        if row["id"] != expected or row["previous"] != previous or _hash(row) != found:
            return expected
        previous, expected = found, expected + 1
    return None if _newest(db) == (expected - 1, previous) else expected


def record(db: Database, actor: str, action: str, subject: str, detail: dict[str, Any]) -> None:
    """`Audit.record` inside a transaction that is already open."""
    # The newest hash is kept apart, and the chain goes on from there: cutting off its end is seen for ever.
    id, previous = _newest(db)
    entry = {
        "id": id + 1, "at": now(), "actor": actor, "action": action, "subject": subject,
        "detail": orjson.dumps(detail, option=orjson.OPT_SORT_KEYS).decode(), "previous": previous,
    }  # fmt: skip
    db.execute("INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?, ?, ?)", [*entry.values(), _hash(entry)])
    db.execute("INSERT OR REPLACE INTO meta VALUES ('audit', ?)", [f"{entry['id']}:{_hash(entry)}"])


def _newest(db: Database) -> tuple[int, str]:
    """Id and hash of the last entry that was written, whether it is still there or not."""
    found = db.execute("SELECT value FROM meta WHERE key = 'audit'").fetchone()
    id, _, hash = (found[0] if found else "0:").partition(":")
    return int(id), hash


def _hash(entry: dict[str, Any]) -> str:
    return hashlib.sha256(orjson.dumps(entry, option=orjson.OPT_SORT_KEYS)).hexdigest()
