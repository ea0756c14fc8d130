"""Users, what they are granted, the Slack accounts that speak for them, and requests for more."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlite_utils import Database

from bot.accounts import AccessRequest, Code, User
from bot.errors import Conflict, NotFound
from bot.permissions import GLOBAL, Action, Grant
from bot.store.connection import Connection, change, now, question, rows


class People(Connection):
    @question
    def users(self, db: Database) -> tuple[User, ...]:
        return _users(db, "SELECT * FROM users ORDER BY username")

    @question
    def user(self, db: Database, username: str) -> User:
        return find_user(db, username)

    @question
    def user_of_slack(self, db: Database, team: str, slack_user: str) -> User | None:
        """The active user that a Slack account speaks for; None for strangers and for deactivated people."""
        query = """SELECT users.* FROM users JOIN slack_users USING (username)
            WHERE team = ? AND slack_user = ? AND slack_users.is_active AND users.is_active"""
        found = _users(db, query, [team, slack_user])
        return found[0] if found else None

    @change
    def add_user(self, db: Database, username: str) -> User:
        """Raises `Conflict` when there is one of that name."""
        if rows(db, "SELECT 1 FROM users WHERE username = ?", [username]):
            raise Conflict(f"There is a user {username} already.")
        db.execute("INSERT INTO users (username, created_at) VALUES (?, ?)", [username, now()])
        return find_user(db, username)

    @change
    def remove_user(self, db: Database, username: str) -> None:
        """Raises `NotFound`; `Conflict` for the last one who is admin of everything."""
        find_user(db, username)
        db.execute("DELETE FROM users WHERE username = ?", [username])
        _require_an_admin(db)

    @change
    def link_slack(self, db: Database, team: str, slack_user: str, username: str) -> User:
        """From now on this Slack account speaks for `username`, and for nobody else."""
        find_user(db, username)
        db.execute("INSERT OR REPLACE INTO slack_users VALUES (?, ?, ?, 1)", [team, slack_user, username])
        return find_user(db, username)

    @change
    def set_slack_active(self, db: Database, team: str, slack_user: str, is_active: bool) -> bool:
        """Slack says that somebody left, or is back; True when it was somebody we know."""
        query = "UPDATE slack_users SET is_active = ? WHERE team = ? AND slack_user = ? AND is_active <> ?"
        return db.execute(query, [is_active, team, slack_user, is_active]).rowcount == 1

    @change
    def grant(self, db: Database, username: str, action: Action, scope: str, by: str,
              expires_at: datetime | None = None) -> None:  # fmt: skip
        """Gives a right; an older one of the same action and scope is replaced, its expiry too."""
        find_user(db, username)
        _grant(db, username, action, scope, by, expires_at)

    @change
    def grant_slack(self, db: Database, team: str, slack_user: str, username: str, action: Action, scope: str, by: str,
                    expires_at: datetime | None = None) -> User:  # fmt: skip
        """Gives a right to the user of a Slack account. An unknown account becomes a new user with the name `username`;
        when that is taken, the account's id is put behind it."""
        return _grant_slack(db, team, slack_user, username, action, scope, by, expires_at)

    @question
    def code(self, db: Database) -> Code | None:
        """The code of the first admin, while there is one."""
        found = rows(db, "SELECT value FROM meta WHERE key = 'code'")
        return Code.model_validate_json(found[0]["value"]) if found else None

    @change
    def set_code(self, db: Database, hash: str, expires_at: datetime) -> None:
        _set_code(db, Code(hash=hash, expires_at=expires_at))

    @change
    def count_wrong_code(self, db: Database, most: int) -> None:
        """After `most` wrong ones there is no code any more."""
        found = rows(db, "SELECT value FROM meta WHERE key = 'code'")
        if found:
            code = Code.model_validate_json(found[0]["value"])
            wrong = code.wrong + 1
            _set_code(db, code.model_copy(update={"wrong": wrong}) if wrong < most else None)

    @change
    def spend_code(self, db: Database, team: str, slack_user: str, username: str, by: str) -> User:
        """The code is used up, and its sender is admin of everything."""
        _set_code(db, None)
        return _grant_slack(db, team, slack_user, username, Action.ADMIN, GLOBAL, by, None)

    @change
    def revoke(self, db: Database, username: str, action: Action, scope: str) -> None:
        """Raises `NotFound` when there is no such grant; `Conflict` for the last admin of everything."""
        find_user(db, username)
        query = "DELETE FROM grants WHERE username = ? AND action = ? AND scope = ?"
        if not db.execute(query, [username, action, scope]).rowcount:
            raise NotFound(f"{username} has no grant of {action} in {scope}.", "`o8 access` lists what there is.")
        _require_an_admin(db)

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
        found = rows(db, "SELECT * FROM access_requests WHERE id = ?", [id])
        if not found:
            raise NotFound(f"There is no request {id}.")
        return AccessRequest.model_validate(found[0])

    @change
    def decide_request(self, db: Database, id: int, by: str, *, is_granted: bool,
                       expires_at: datetime | None = None) -> AccessRequest:  # fmt: skip
        """Grants or denies what was asked for; raises `Conflict` when somebody has decided already."""
        statement = """UPDATE access_requests SET state = ?, decided_by = ?, decided_at = ?
            WHERE id = ? AND state = 'open'"""
        state = "granted" if is_granted else "denied"
        if not db.execute(statement, [state, by, now(), id]).rowcount:
            raise Conflict(f"Request {id} is not open any more.")
        request = AccessRequest.model_validate(rows(db, "SELECT * FROM access_requests WHERE id = ?", [id])[0])
        if is_granted:
            _grant(db, request.username, request.action, request.scope, by, expires_at)
        db.execute(
            "UPDATE cards SET wanted = wanted + 1, is_final = 1, changed_at = ? WHERE kind = 'request' AND subject = ?",
            [now(), str(id)],
        )
        return request


def _grant(db: Database, username: str, action: Action, scope: str, by: str, expires_at: datetime | None) -> None:
    until = expires_at and expires_at.isoformat(timespec="milliseconds")
    values = [username, scope, action, by, now(), until]
    db.execute("INSERT OR REPLACE INTO grants VALUES (?, ?, ?, ?, ?, ?)", values)
    _require_an_admin(db)


def _grant_slack(db: Database, team: str, slack_user: str, username: str, action: Action, scope: str, by: str,
                 expires_at: datetime | None) -> User:  # fmt: skip
    known = rows(db, "SELECT username FROM slack_users WHERE team = ? AND slack_user = ?", [team, slack_user])
    if known:
        username = known[0]["username"]
    else:
        if rows(db, "SELECT 1 FROM users WHERE username = ?", [username]):
            username = f"{username}-{slack_user.lower()}"[:63]
        db.execute("INSERT INTO users (username, created_at) VALUES (?, ?)", [username, now()])
        db.execute("INSERT INTO slack_users VALUES (?, ?, ?, 1)", [team, slack_user, username])
    _grant(db, username, action, scope, by, expires_at)
    return find_user(db, username)


def _set_code(db: Database, code: Code | None) -> None:
    db.execute("DELETE FROM meta WHERE key = 'code'")
    if code:
        db.execute("INSERT INTO meta VALUES ('code', ?)", [code.model_dump_json()])


def find_user(db: Database, username: str) -> User:
    found = _users(db, "SELECT * FROM users WHERE username = ?", [username])
    if not found:
        raise NotFound(f"There is no user {username!r:.80}.", "`o8 user list` shows them.")
    return found[0]


def _users(db: Database, query: str, parameters: Any = ()) -> tuple[User, ...]:
    return tuple(
        User.model_validate(row | {"grants": _grants(db, row["username"]), "slack": _accounts(db, row["username"])})
        for row in rows(db, query, parameters)
    )


def _grants(db: Database, username: str) -> tuple[Grant, ...]:
    query = (
        "SELECT scope, action, granted_by, granted_at, expires_at FROM grants WHERE username = ? ORDER BY scope, action"
    )
    return tuple(Grant.model_validate(row) for row in rows(db, query, [username]))


def _accounts(db: Database, username: str) -> tuple[str, ...]:
    query = "SELECT team || ':' || slack_user AS account FROM slack_users WHERE username = ? AND is_active ORDER BY 1"
    return tuple(row["account"] for row in rows(db, query, [username]))


def _require_an_admin(db: Database) -> None:
    """Refuses a change that takes away the last lasting admin of everything; before the first there is none to take."""
    query = """SELECT count(*) FROM grants JOIN users USING (username)
        WHERE scope = ? AND action = ? AND is_active AND expires_at IS NULL"""
    if db.execute(query, [GLOBAL, Action.ADMIN]).fetchone()[0]:
        db.execute("INSERT OR IGNORE INTO meta VALUES ('has_admin', '1')")
    elif rows(db, "SELECT 1 FROM meta WHERE key = 'has_admin'"):
        raise Conflict("Somebody must stay admin of everything.", "Grant `admin` in `global` to somebody else first.")
