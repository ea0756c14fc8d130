"""Whether the database itself is sound."""

from __future__ import annotations

import sqlite3

from sqlite_utils import Database

from bot.store.connection import Connection, question, rows

_MOST = 5  # sentences; one is enough to act on
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class Health(Connection):
    @question
    def damage(self, db: Database) -> tuple[str, ...]:
        """What SQLite finds wrong with its file, in its own words; empty when it is sound."""
        try:
            found = rows(db, f"PRAGMA quick_check({_MOST})")  # https://sqlite.org/pragma.html#pragma_quick_check
        except sqlite3.DatabaseError as error:  # the check itself stumbles over some kinds of damage
            if error.sqlite_errorcode & 0xFF not in _DAMAGED:
                raise
            return (str(error),)
        sentences = "\n".join(str(row["quick_check"]) for row in found).splitlines()
        return tuple(line for line in sentences if line != "ok" and not line.startswith("***"))[:_MOST]
