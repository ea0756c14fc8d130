"""Whose login at GitHub is whose. It gives no rights: cards name people by it."""

from __future__ import annotations

from collections.abc import Sequence

import orjson
from sqlite_utils import Database

from bot.accounts import User
from bot.errors import NotFound
from bot.store.connection import Connection, change, question, rows
from bot.store.people import find_user


class LinkedLogins(Connection):
    @change
    def link_github(self, db: Database, login: str, username: str) -> User:
        """From now on `login` is `username`'s, and nobody else's. Raises `NotFound`."""
        find_user(db, username)
        db.execute("INSERT OR REPLACE INTO github_users VALUES (?, ?)", [login.lower(), username])
        return find_user(db, username)

    @change
    def unlink_github(self, db: Database, login: str) -> str:
        """Returns whose it was; raises `NotFound` when it was nobody's."""
        found = rows(db, "SELECT username FROM github_users WHERE login = ?", [login.lower()])
        if not found:
            raise NotFound(f"{login!r:.80} is linked to nobody.", "`o8 user list` shows which logins are.")
        db.execute("DELETE FROM github_users WHERE login = ?", [login.lower()])
        return str(found[0]["username"])

    @question
    def slack_of(self, db: Database, logins: Sequence[str]) -> dict[str, str]:
        """Accounts in the workspace that o8 is connected to, by login in lower case, as far as they are known."""
        query = """SELECT login, min(slack_user) AS account FROM github_users JOIN slack_users USING (username)
            JOIN users USING (username)
            WHERE login IN (SELECT value FROM json_each(?)) AND slack_users.is_active AND users.is_active
                AND team = (SELECT value FROM meta WHERE key = 'slack_team') GROUP BY login"""
        wanted = orjson.dumps([login.lower() for login in logins]).decode()
        return {row["login"]: row["account"] for row in rows(db, query, [wanted])}
