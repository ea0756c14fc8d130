"""What people log in with: password hashes, API tokens and sessions. Secrets are here as hashes only."""

from __future__ import annotations

import hashlib
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from sqlite_utils import Database

from bot.accounts import Session, Token
from bot.errors import NotFound
from bot.permissions import Grant
from bot.store.connection import Connection, change, now, question, rows
from bot.store.people import end_logins, find_user

_KEPT = "hash NOT LIKE 'removed %'"
SESSION_DAYS, SESSION_IDLE = 30, timedelta(days=7)


class Logins(Connection):
    @question
    def password_hash(self, db: Database, username: str) -> str | None:
        """None for a user without a password, and for one who does not exist or is not active."""
        query = "SELECT hash FROM passwords JOIN users USING (username) WHERE username = ? AND is_active"
        found = rows(db, query, [username])
        return str(found[0]["hash"]) if found else None

    @change
    def set_password_hash(self, db: Database, username: str, hash: str) -> None:
        """Replaces the password; whoever is logged in with the old one is logged out."""
        find_user(db, username)
        db.execute("INSERT OR REPLACE INTO passwords VALUES (?, ?, ?)", [username, hash, now()])
        db.execute("DELETE FROM sessions WHERE username = ?", [username])

    @change
    def renew_password_hash(self, db: Database, username: str, old: str, new: str) -> None:
        """Another hash of the same password; one that was set meanwhile stays."""
        db.execute("UPDATE passwords SET hash = ? WHERE username = ? AND hash = ?", [new, username, old])

    @change
    def add_token(self, db: Database, username: str, name: str, grants: tuple[Grant, ...] | None,
                  expires_at: datetime | None) -> tuple[Token, str]:  # fmt: skip
        """A new token of `username` and its secret `o8_...`, which is shown once; `grants` narrow what it may."""
        secret = f"o8_{secrets.token_urlsafe(32)}"
        id = db.execute(
            "INSERT INTO tokens (username, name, hash, grants, created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?)",
            [username, name, _hash(secret), _json(grants), now(), expires_at and expires_at.isoformat()],
        ).lastrowid
        return _token(rows(db, "SELECT * FROM tokens WHERE id = ?", [id])[0]), secret

    @question
    def token_of(self, db: Database, secret: str) -> Token | None:
        """The token with this secret; None when there is none (any more)."""
        return _valid(rows(db, "SELECT * FROM tokens WHERE hash = ?", [_hash(secret)]))

    @question
    def valid_token(self, db: Database, id: int) -> Token | None:
        """None when it was removed or has expired."""
        return _valid(rows(db, f"SELECT * FROM tokens WHERE id = ? AND {_KEPT}", [id]))  # noqa: S608

    @question
    def owner_of_token(self, db: Database, id: int) -> str:
        """Also of one that was removed: what it asked for still is its owner's. Empty when there never was one."""
        found = rows(db, "SELECT username FROM tokens WHERE id = ?", [id])
        return str(found[0]["username"]) if found else ""

    @question
    def token(self, db: Database, id: int) -> Token:
        """Raises `NotFound`; also one that has expired."""
        found = rows(db, f"SELECT * FROM tokens WHERE id = ? AND {_KEPT}", [id])  # noqa: S608
        if not found:
            raise NotFound(f"There is no token {id}.", "`o8 token list` shows them.")
        return _token(found[0])

    @question
    def tokens(self, db: Database, username: str = "") -> tuple[Token, ...]:
        """Those of a user, or all."""
        query = f"SELECT * FROM tokens WHERE ? IN ('', username) AND {_KEPT} ORDER BY id"  # noqa: S608
        return tuple(_token(row) for row in rows(db, query, [username]))

    @change
    def remove_token(self, db: Database, id: int) -> None:
        """Its secret is forgotten. Whose it was is not: else its owner could approve what they asked for with it."""
        if not db.execute(f"UPDATE tokens SET hash = 'removed ' || id WHERE id = ? AND {_KEPT}", [id]).rowcount:  # noqa: S608
            raise NotFound(f"There is no token {id}.", "`o8 token list` shows them.")

    @change
    def open_session(self, db: Database, username: str, agent: str) -> tuple[Session, str]:
        """A new session and the secret for its cookie; sessions that are over are forgotten."""
        db.execute("DELETE FROM sessions WHERE expires_at < ?", [now()])
        secret, csrf = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        until = datetime.now(UTC) + timedelta(days=SESSION_DAYS)
        db.execute(
            "INSERT INTO sessions VALUES (?, ?, ?, ?, ?, ?, ?)",
            [_hash(secret), username, csrf, agent[:200], now(), now(), until.isoformat(timespec="milliseconds")],
        )
        return _session(rows(db, "SELECT * FROM sessions WHERE hash = ?", [_hash(secret)])[0]), secret

    @question
    def session_of(self, db: Database, secret: str) -> Session | None:
        """The session with this secret while it lasts."""
        found = rows(db, "SELECT * FROM sessions WHERE hash = ?", [_hash(secret)])
        session = _session(found[0]) if found else None
        at = datetime.now(UTC)
        return session if session and session.expires_at > at and session.seen_at + SESSION_IDLE > at else None

    @change
    def touch_session(self, db: Database, id: str) -> None:
        db.execute("UPDATE sessions SET seen_at = ? WHERE hash = ?", [now(), id])

    @change
    def close_session(self, db: Database, id: str) -> None:
        db.execute("DELETE FROM sessions WHERE hash = ?", [id])

    @change
    def close_sessions(self, db: Database, username: str) -> None:
        """Logs somebody out everywhere."""
        db.execute("DELETE FROM sessions WHERE username = ?", [username])

    @change
    def end_logins(self, db: Database, username: str) -> None:
        """As `close_sessions`; tokens end, too."""
        end_logins(db, username)

    @question
    def sessions(self, db: Database, username: str) -> tuple[Session, ...]:
        """The browsers in which somebody is logged in, the newest first."""
        query = "SELECT * FROM sessions WHERE username = ? AND expires_at > ? ORDER BY created_at DESC"
        return tuple(_session(row) for row in rows(db, query, [username, now()]))


def _hash(secret: str) -> str:
    """Of 256 random bits, so a plain hash is enough."""
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()


def _json(grants: tuple[Grant, ...] | None) -> str | None:
    return None if grants is None else orjson.dumps([{"scope": g.scope, "action": g.action} for g in grants]).decode()


def _valid(found: list[dict[str, Any]]) -> Token | None:
    token = _token(found[0]) if found else None
    return token if token and (token.expires_at is None or token.expires_at > datetime.now(UTC)) else None


def _token(row: dict[str, Any]) -> Token:
    return Token.model_validate(row | {"grants": orjson.loads(row["grants"]) if row["grants"] else None})


def _session(row: dict[str, Any]) -> Session:
    return Session.model_validate(row | {"id": row["hash"]})
