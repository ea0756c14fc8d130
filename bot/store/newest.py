"""The newest tag that each service follows, as it was found at the last look: what "update available" is made of."""

from __future__ import annotations

from datetime import datetime

from sqlite_utils import Database

from bot.models import Model
from bot.store.connection import Connection, change, now, question, rows


class Newest(Model):
    """`digest` is that of `tag` at the time of the look."""

    service: str
    tag: str
    digest: str
    looked_at: datetime


class NewestTags(Connection):
    @change
    def found_newest(self, db: Database, service: str, tag: str, digest: str) -> None:
        """Nothing to do when the service was removed meanwhile."""
        statement = """INSERT OR REPLACE INTO newest SELECT name, ?, ?, ? FROM services WHERE name = ?"""
        db.execute(statement, [tag, digest, now(), service])

    @question
    def newest_tags(self, db: Database) -> dict[str, Newest]:
        """By service; without those that nobody has looked for."""
        return {row["service"]: Newest.model_validate(row) for row in rows(db, "SELECT * FROM newest")}
