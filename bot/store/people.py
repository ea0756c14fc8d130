"""Users, what they are granted, and the Slack accounts that speak for them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from hmac import compare_digest
from itertools import count
from typing import Any

from sqlite_utils import Database

from bot.accounts import Code, User
from bot.errors import Conflict, NotFound
from bot.permissions import GLOBAL, Action, Grant
from bot.store.audit import record
from bot.store.connection import Connection, change, now, question, rows
from bot.store.grants import give, keeping_an_admin
from bot.store.requests import decide

_ABOUT = """SELECT rowid AS id, EXISTS (SELECT 1 FROM passwords WHERE passwords.username = users.username)
    AS has_password FROM users WHERE username = ?"""


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

    @question
    def active_user(self, db: Database, username: str) -> User | None:
        """None for who does not exist, and for who may not come in."""
        found = _users(db, "SELECT * FROM users WHERE username = ? AND is_active", [username])
        return found[0] if found else None

    @change
    def add_user(self, db: Database, username: str, hash: str = "", rights: Sequence[tuple[Action, str]] = (),
                 by: str = "") -> User:  # fmt: skip
        """A new user, with a password's `hash` and `rights` given by `by`. Raises `Conflict` for a taken name."""
        if rows(db, "SELECT 1 FROM users WHERE username = ?", [username]):
            raise Conflict(f"There is a user {username} already.")
        _insert(db, username)
        if hash:
            db.execute("INSERT INTO passwords VALUES (?, ?, ?)", [username, hash, now()])
        for action, scope in rights:
            give(db, username, action, scope, by, None)
        return find_user(db, username)

    @change
    def set_rights(self, db: Database, username: str, rights: Sequence[tuple[Action, str]], by: str) -> User:
        """From now on these and no others; what they have already stays as it was given, its expiry too.

        Raises `NotFound`; `Conflict` for the last admin of everything.
        """
        held = {(grant.action, grant.scope) for grant in find_user(db, username).grants}
        with keeping_an_admin(db):
            for action, scope in held - set(rights):
                db.execute("DELETE FROM grants WHERE username = ? AND action = ? AND scope = ?",
                           [username, action, scope])  # fmt: skip
            for action, scope in set(rights) - held:
                give(db, username, action, scope, by, None)
        return find_user(db, username)

    @change
    def remove_user(self, db: Database, username: str) -> None:
        """Ends their wishes too. Raises `NotFound`; `Conflict` for the last one who is admin of everything."""
        find_user(db, username)
        with keeping_an_admin(db):
            db.execute("DELETE FROM users WHERE username = ?", [username])
        end_logins(db, username)
        wishes = rows(db, "SELECT id FROM access_requests WHERE username = ? AND state = 'open'", [username])
        for wish in wishes:  # else they would be granted to the next one of that name
            decide(db, wish["id"], "denied", "o8")

    @change
    def link_slack(self, db: Database, team: str, slack_user: str, username: str) -> User:
        """From now on this Slack account speaks for `username`, and for nobody else; also one that was deactivated.

        Raises `NotFound`; `Conflict` when it would leave the last admin of everything without an account.
        """
        find_user(db, username)
        with keeping_an_admin(db):
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
        give(db, username, action, scope, by, expires_at)

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
        with keeping_an_admin(db):
            if not db.execute(query, [username, action, scope]).rowcount:
                raise NotFound(
                    f"{username} has no right {action} in {scope:.80}.", "`o8 user list` shows what there is."
                )


def _grant_slack(db: Database, team: str, slack_user: str, username: str, action: Action, scope: str, by: str,
                 expires_at: datetime | None) -> User:  # fmt: skip
    known = rows(db, "SELECT username FROM slack_users WHERE team = ? AND slack_user = ?", [team, slack_user])
    if known:
        username = known[0]["username"]
    else:
        username = _free_name(db, username, slack_user.lower())
        _insert(db, username)
        db.execute("INSERT INTO slack_users VALUES (?, ?, ?, 1)", [team, slack_user, username])
    give(db, username, action, scope, by, expires_at)
    return find_user(db, username)


def _insert(db: Database, username: str) -> None:
    end_logins(db, username)  # of an admin whom AUTH_USERNAME called so once
    db.execute("INSERT INTO users (username, created_at) VALUES (?, ?)", [username, now()])


def end_logins(db: Database, username: str) -> None:
    """Tokens and sessions of that name are gone."""
    for table in ("tokens", "sessions"):
        db.execute(f"DELETE FROM {table} WHERE username = ?", [username])  # noqa: S608


def _free_name(db: Database, username: str, account: str) -> str:
    """`ada`, else `ada-u1`, `ada-u1-2` and so on; never longer than a username may be."""
    taken = {row["username"] for row in rows(db, "SELECT username FROM users")}
    endings = (f"-{account}{f'-{number}' if number > 1 else ''}" for number in count(1))
    names = (f"{username[: 63 - len(ending)]}{ending}" for ending in endings)
    return username if username not in taken else next(name for name in names if name not in taken)


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
        User.model_validate(row | {
            "grants": _grants(db, row["username"]), "slack": _accounts(db, row["username"]),
            "github": _logins(db, row["username"]),
            **rows(db, _ABOUT, [row["username"]])[0],
        })
        for row in rows(db, query, parameters)
    )  # fmt: skip


def _grants(db: Database, username: str) -> tuple[Grant, ...]:
    query = (
        "SELECT scope, action, granted_by, granted_at, expires_at FROM grants WHERE username = ? ORDER BY scope, action"
    )
    return tuple(Grant.model_validate(row) for row in rows(db, query, [username]))


def _logins(db: Database, username: str) -> tuple[str, ...]:
    found = rows(db, "SELECT login FROM github_users WHERE username = ? ORDER BY login", [username])
    return tuple(row["login"] for row in found)


def _accounts(db: Database, username: str) -> tuple[str, ...]:
    query = "SELECT team || ':' || slack_user AS account FROM slack_users WHERE username = ? AND is_active ORDER BY 1"
    return tuple(row["account"] for row in rows(db, query, [username]))
