"""Answers to writes that came with an idempotency key: who asks again gets the same one, and nothing is done twice.

https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/ describes the header.
"""

from __future__ import annotations

from typing import NamedTuple

from sqlite_utils import Database

from bot.store.connection import Connection, change, now, rows

KEPT = "-24 hours"


class Answer(NamedTuple):
    """`request` tells whether the same was asked; `status` 0: it is not known (yet) what came of it."""

    request: str
    status: int
    body: bytes


class Answers(Connection):
    @change
    def begin_answer(self, db: Database, actor: str, key: str, request: str) -> Answer | None:
        """Takes the key, and returns None; else what is known of the first one who took it."""
        db.execute("DELETE FROM answers WHERE created_at < strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now', ?)", [KEPT])
        found = rows(db, "SELECT request, status, body FROM answers WHERE actor = ? AND key = ?", [actor, key])
        if found:
            return Answer(found[0]["request"], found[0]["status"] or 0, found[0]["body"] or b"")
        db.execute("INSERT INTO answers VALUES (?, ?, ?, NULL, NULL, ?)", [actor, key, request, now()])
        return None

    @change
    def keep_answer(self, db: Database, actor: str, key: str, status: int, body: bytes) -> None:
        """What `begin_answer` returns from now on, for a day."""
        query = "UPDATE answers SET status = ?, body = ? WHERE actor = ? AND key = ?"
        db.execute(query, [status, body, actor, key])

    @change
    def drop_answer(self, db: Database, actor: str, key: str) -> None:
        """Nothing was done: the key may be used again."""
        db.execute("DELETE FROM answers WHERE actor = ? AND key = ?", [actor, key])
