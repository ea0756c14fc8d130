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
        last = rows(db, "SELECT id, hash FROM audit ORDER BY id DESC LIMIT 1")
        entry = {
            "id": last[0]["id"] + 1 if last else 1, "at": now(), "actor": actor, "action": action,
            "subject": subject, "detail": orjson.dumps(detail, option=orjson.OPT_SORT_KEYS).decode(),
            "previous": last[0]["hash"] if last else "",
        }  # fmt: skip
        db.execute("INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?, ?, ?)", [*entry.values(), _hash(entry)])
        # The newest hash is kept apart, so that cutting off the end of the chain is seen too.
        db.execute("INSERT OR REPLACE INTO meta VALUES ('audit', ?)", [f"{entry['id']}:{_hash(entry)}"])

    @question
    def audit(self, db: Database, limit: int = 50) -> tuple[AuditEntry, ...]:
        found = rows(db, "SELECT * FROM audit ORDER BY id DESC LIMIT ?", [limit])
        return tuple(AuditEntry.model_validate(row | {"detail": orjson.loads(row["detail"])}) for row in found)

    @question
    def verify_audit(self, db: Database) -> int | None:
        """The first id from which the chain is broken; None when it is whole."""
        previous, expected = "", 1
        for row in rows(db, "SELECT * FROM audit ORDER BY id"):
            found = row.pop("hash")
            if row["id"] != expected or row["previous"] != previous or _hash(row) != found:
                return expected
            previous, expected = found, expected + 1
        newest = db.execute("SELECT value FROM meta WHERE key = 'audit'").fetchone()
        end = f"{expected - 1}:{previous}" if previous else None
        return None if (newest[0] if newest else None) == end else expected


def _hash(entry: dict[str, Any]) -> str:
    return hashlib.sha256(orjson.dumps(entry, option=orjson.OPT_SORT_KEYS)).hexdigest()
