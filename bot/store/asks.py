"""Commands given in chat, written down before Slack hears that they were understood: none is lost or run twice."""

from __future__ import annotations

from typing import Any

import orjson
from sqlite_utils import Database

from bot.chat import Ask, Place
from bot.store.connection import Connection, change, now, question, rows

KEPT = 5_000  # newest asks that are remembered; Slack repeats one within minutes, if at all


class Asks(Connection):
    @change
    def ask(self, db: Database, key: str, actor: str, text: str, place: Place) -> Ask | None:
        """Writes a command down; None when `key` was there already: Slack has sent it twice."""
        found = db.execute("SELECT 1 FROM asks WHERE key = ?", [key]).fetchone()
        if found:
            return None
        id = db.execute(
            "INSERT INTO asks (key, actor, text, place, created_at) VALUES (?, ?, ?, ?, ?)",
            [key, actor, text, place.model_dump_json(), now()],
        ).lastrowid
        db.execute("DELETE FROM asks WHERE id <= ? AND state = 'done'", [(id or 0) - KEPT])
        return _ask(rows(db, "SELECT * FROM asks WHERE id = ?", [id])[0])

    @change
    def begin_ask(self, db: Database, id: int) -> bool:
        """Marks it as running; False when it is running or done already."""
        return db.execute("UPDATE asks SET state = 'running' WHERE id = ? AND state = 'asked'", [id]).rowcount == 1

    @change
    def end_ask(self, db: Database, id: int) -> None:
        db.execute("UPDATE asks SET state = 'done', ended_at = ? WHERE id = ?", [now(), id])

    @question
    def open_asks(self, db: Database) -> tuple[Ask, ...]:
        """What a kill left: `asked` was not begun, `running` may have happened or not."""
        return tuple(_ask(row) for row in rows(db, "SELECT * FROM asks WHERE state <> 'done' ORDER BY id"))


def _ask(row: dict[str, Any]) -> Ask:
    return Ask.model_validate(row | {"place": orjson.loads(row["place"])})
