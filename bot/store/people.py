"""Users, what they are granted, the Slack accounts that speak for them, and requests for more."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from hmac import compare_digest
from itertools import count
from typing import Any

from sqlite_utils import Database

from bot.accounts import AccessRequest, Code, User
from bot.errors import Conflict, NotFound
from bot.permissions import GLOBAL, Action, Grant
from bot.store.audit import record
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

    @question
    def owner_of_slack(self, db: Database, team: str, slack_user: str) -> User | None:
        """The user that a Slack account belongs to, also when it is deactivated and so speaks for nobody."""
        query = "SELECT users.* FROM users JOIN slack_users USING (username) WHERE team = ? AND slack_user = ?"
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
        """Ends their wishes too. Raises `NotFound`; `Conflict` for the last one who is admin of everything."""
        find_user(db, username)
        with _keeping_an_admin(db):
            db.execute("DELETE FROM users WHERE username = ?", [username])
        wishes = rows(db, "SELECT id FROM access_requests WHERE username = ? AND state = 'open'", [username])
        for wish in wishes:  # else they would be granted to the next one of that name
            _decide(db, wish["id"], "denied", "o8")

    @change
    def link_slack(self, db: Database, team: str, slack_user: str, username: str) -> User:
        """From now on this Slack account speaks for `username`, and for nobody else; also one that was deactivated.

        Raises `NotFound`; `Conflict` when it would leave the last admin of everything without an account.
        """
        find_user(db, username)
        with _keeping_an_admin(db):
            db.execute("INSERT OR REPLACE INTO slack_users VALUES (?, ?, ?, 1)", [team, slack_user, username])
        return find_user(db, username)

    @change
    def set_slack_active(self, db: Database, team: str, slack_user: str, is_active: bool) -> bool:
        """Slack says that somebody left, or is back; True when it was somebody we know.

        It may be the last admin: that is a fact, not a wish, and the server can make another one.
        """
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
        when that is taken, the account's id is put behind it: nobody gets rights by being called like somebody."""
        return _grant_slack(db, team, slack_user, username, action, scope, by, expires_at)

    @change
    def set_code(self, db: Database, hash: str, expires_at: datetime) -> None:
        """Keeps the hash of a new code of the first admin; the one before is void."""
        _set_code(db, Code(hash=hash, expires_at=expires_at))

    @change
    def redeem_code(
        self, db: Database, hash: str, team: str, slack_user: str, username: str, *, most: int
    ) -> User | None:
        """Uses the code up and makes its sender admin of everything; None for a wrong, used or late one.

        After `most` wrong ones the code is void. Of two who send it at the same moment, one is let in.
        """
        found = rows(db, "SELECT value FROM meta WHERE key = 'code'")
        code = Code.model_validate_json(found[0]["value"]) if found else None
        if code is None or code.expires_at <= datetime.now(UTC):
            return None
        if not compare_digest(code.hash, hash):
            wrong = code.wrong + 1
            _set_code(db, code.model_copy(update={"wrong": wrong}) if wrong < most else None)
            return None
        _set_code(db, None)
        user = _grant_slack(db, team, slack_user, username, Action.ADMIN, GLOBAL, "o8", None)
        record(db, f"slack:{team}:{slack_user}", "hello", user.username, {"scope": GLOBAL})
        return user

    @change
    def revoke(self, db: Database, username: str, action: Action, scope: str) -> None:
        """Raises `NotFound` when there is no such grant; `Conflict` for the last admin of everything."""
        find_user(db, username)
        query = "DELETE FROM grants WHERE username = ? AND action = ? AND scope = ?"
        with _keeping_an_admin(db):
            if not db.execute(query, [username, action, scope]).rowcount:
                raise NotFound(
                    f"{username} has no right {action} in {scope:.80}.", "`o8 user list` shows what there is."
                )

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
        if not _decide(db, id, "granted" if is_granted else "denied", by):
            raise Conflict(f"Request {id} is not open any more.")
        request = find_request(db, id)
        if is_granted:
            _grant(db, request.username, request.action, request.scope, by, expires_at)
        return request


def _grant(db: Database, username: str, action: Action, scope: str, by: str, expires_at: datetime | None) -> None:
    until = expires_at and expires_at.isoformat(timespec="milliseconds")
    values = [username, scope, action, by, now(), until]
    with _keeping_an_admin(db):
        db.execute("INSERT OR REPLACE INTO grants VALUES (?, ?, ?, ?, ?, ?)", values)


def _grant_slack(db: Database, team: str, slack_user: str, username: str, action: Action, scope: str, by: str,
                 expires_at: datetime | None) -> User:  # fmt: skip
    known = rows(db, "SELECT username FROM slack_users WHERE team = ? AND slack_user = ?", [team, slack_user])
    if known:
        username = known[0]["username"]
    else:
        username = _free_name(db, username, slack_user.lower())
        db.execute("INSERT INTO users (username, created_at) VALUES (?, ?)", [username, now()])
        db.execute("INSERT INTO slack_users VALUES (?, ?, ?, 1)", [team, slack_user, username])
    _grant(db, username, action, scope, by, expires_at)
    return find_user(db, username)


def _free_name(db: Database, username: str, account: str) -> str:
    """`ada`, else `ada-u1`, `ada-u1-2` and so on; never longer than a username may be."""
    taken = {row["username"] for row in rows(db, "SELECT username FROM users")}
    endings = (f"-{account}{f'-{number}' if number > 1 else ''}" for number in count(1))
    names = (f"{username[: 63 - len(ending)]}{ending}" for ending in endings)
    return username if username not in taken else next(name for name in names if name not in taken)


def _decide(db: Database, id: int, state: str, by: str) -> bool:
    """Ends a wish that is open, and has its card say so; False when it is not open."""
    statement = "UPDATE access_requests SET state = ?, decided_by = ?, decided_at = ? WHERE id = ? AND state = 'open'"
    if not db.execute(statement, [state, by, now(), id]).rowcount:
        return False
    db.execute(
        "UPDATE cards SET wanted = wanted + 1, is_final = 1, changed_at = ? WHERE kind = 'request' AND subject = ?",
        [now(), str(id)],
    )
    return True


def _set_code(db: Database, code: Code | None) -> None:
    db.execute("DELETE FROM meta WHERE key = 'code'")
    if code:
        db.execute("INSERT INTO meta VALUES ('code', ?)", [code.model_dump_json()])


def find_user(db: Database, username: str) -> User:
    found = _users(db, "SELECT * FROM users WHERE username = ?", [username])
    if not found:
        raise NotFound(f"There is no user {username!r:.80}.", "`o8 user list` shows them.")
    return found[0]


def find_request(db: Database, id: int) -> AccessRequest:
    found = rows(db, "SELECT * FROM access_requests WHERE id = ?", [id])
    if not found:
        raise no_request(id)
    return AccessRequest.model_validate(found[0])


def no_request(id: int) -> NotFound:
    """The words for a wish that does not exist, or is about a service that somebody must not know of."""
    return NotFound(f"There is no request {id}.")


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


@contextmanager
def _keeping_an_admin(db: Database) -> Iterator[None]:
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
