"""Wishes for more rights, and what was decided about them."""

from __future__ import annotations

from datetime import datetime

from sqlite_utils import Database

from bot.accounts import AccessRequest
from bot.errors import Conflict, NotFound
from bot.permissions import GLOBAL, Action
from bot.store.connection import Connection, change, now, question, rows
from bot.store.grants import give


class Requests(Connection):
    @change
    def request_access(self, db: Database, username: str, actor: str, action: Action, scope: str, reason: str) -> int:
        """Asks for a right; the same wish that is still open is not asked twice. Its card is wanted with it."""
        open_one = rows(
            db, "SELECT id FROM access_requests WHERE username = ? AND action = ? AND scope = ? AND state = 'open'",
            [username, action, scope],
        )  # fmt: skip
        if open_one:
            raise Conflict(f"Request {open_one[0]['id']} asks for that already.", "Wait for an answer.")
        statement = """INSERT INTO access_requests (username, actor, scope, action, reason, created_at)
            VALUES (?, ?, ?, ?, ?, ?)"""
        id = db.execute(statement, [username, actor, scope, action, reason, now()]).lastrowid
        service = scope.removeprefix("service:") if scope != GLOBAL else ""
        db.execute(
            "INSERT INTO cards (kind, subject, service, changed_at) VALUES ('request', ?, ?, ?)", [id, service, now()]
        )
        return id or 0

    @question
    def access_request(self, db: Database, id: int) -> AccessRequest:
        return find_request(db, id)

    @change
    def decide_request(self, db: Database, id: int, by: str, *, is_granted: bool,
                       expires_at: datetime | None = None) -> AccessRequest:  # fmt: skip
        """Grants or denies what was asked for; raises `Conflict` when somebody has decided already."""
        if not decide(db, id, "granted" if is_granted else "denied", by):
            raise Conflict(f"Request {id} is not open any more.")
        request = find_request(db, id)
        if is_granted:
            give(db, request.username, request.action, request.scope, by, expires_at)
        return request


def decide(db: Database, id: int, state: str, by: str) -> bool:
    """Ends a wish that is open, and has its card say so; False when it is not open."""
    statement = "UPDATE access_requests SET state = ?, decided_by = ?, decided_at = ? WHERE id = ? AND state = 'open'"
    if not db.execute(statement, [state, by, now(), id]).rowcount:
        return False
    db.execute(
        "UPDATE cards SET wanted = wanted + 1, is_final = 1, changed_at = ? WHERE kind = 'request' AND subject = ?",
        [now(), str(id)],
    )
    return True


def find_request(db: Database, id: int) -> AccessRequest:
    found = rows(db, "SELECT * FROM access_requests WHERE id = ?", [id])
    if not found:
        raise no_request(id)
    return AccessRequest.model_validate(found[0])


def no_request(id: int) -> NotFound:
    """The words for a wish that does not exist, or is about a service that somebody must not know of."""
    return NotFound(f"There is no request {id}.")
