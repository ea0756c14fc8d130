"""Single values that o8 remembers about itself."""

from __future__ import annotations

from sqlite_utils import Database

from bot.store.connection import Connection, change, question, rows


class Meta(Connection):
    @question
    def remembered(self, db: Database, key: str) -> str:
        """Empty when there is nothing of that name."""
        found = rows(db, "SELECT value FROM meta WHERE key = ?", [key])
        return str(found[0]["value"]) if found else ""

    @change
    def remember(self, db: Database, key: str, value: str) -> None:
        db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", [key, value])

    @change
    def forget(self, db: Database, key: str) -> None:
        db.execute("DELETE FROM meta WHERE key = ?", [key])
