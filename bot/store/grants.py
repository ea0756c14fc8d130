"""Rights as rows: given inside an open transaction, never taken from the last admin of everything."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from sqlite_utils import Database

from bot.errors import Conflict
from bot.permissions import GLOBAL, Action
from bot.store.connection import now


def give(db: Database, username: str, action: Action, scope: str, by: str, expires_at: datetime | None) -> None:
    until = expires_at and expires_at.isoformat(timespec="milliseconds")
    values = [username, scope, action, by, now(), until]
    with keeping_an_admin(db):
        db.execute("INSERT OR REPLACE INTO grants VALUES (?, ?, ?, ?, ?, ?)", values)


@contextmanager
def keeping_an_admin(db: Database) -> Iterator[None]:
    """Refuses a change that takes away the last lasting admin of everything, or the last one whom Slack lets in.

    Where there is none before, as at first, there is none to take.
    """
    before = _admins(db)
    yield
    if any(had and not has for had, has in zip(before, _admins(db), strict=True)):
        raise Conflict("Somebody must stay admin of everything.", "Grant `admin` in `global` to somebody else first.")


def _admins(db: Database) -> tuple[int, int]:
    """How many are admin of everything for ever, and how many of these have an active Slack account."""
    query = """SELECT count(*), count(*) FILTER (WHERE EXISTS (
            SELECT 1 FROM slack_users WHERE slack_users.username = users.username AND slack_users.is_active))
        FROM grants JOIN users USING (username)
        WHERE scope = ? AND action = ? AND users.is_active AND expires_at IS NULL"""
    everybody, reachable = db.execute(query, [GLOBAL, Action.ADMIN]).fetchone()
    return everybody, reachable
