"""Copies of the database: made while it is in use, looked at before they are believed, put in its place."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from sqlite_utils import Database

from bot.store.audit import broken_from, record
from bot.store.connection import Connection, Translated, only_one, rows
from bot.store.deployments import as_restored
from bot.store.migrations import schema

_CHECK = "PRAGMA integrity_check(5)"  # https://sqlite.org/pragma.html#pragma_integrity_check


class SealedRow(NamedTuple):
    service: str
    revision: int
    sealed: bytes


class Examined(NamedTuple):
    """What a copy is. `damage` in SQLite's words, empty when it is sound; only then is the rest filled in."""

    damage: tuple[str, ...] = ()
    schema: tuple[str, ...] = ()  # migrations that were applied to it
    unknown: tuple[str, ...] = ()  # those of them that this o8 has never heard of
    audit_broken_from: int | None = None
    sealed: tuple[SealedRow, ...] = ()


class Copies(Connection):
    async def copy_to(self, path: Path) -> None:
        """The database as of one moment, in one file of mode 0600 at `path`; nobody waits meanwhile.

        Read through a connection of its own: the writing one is not held up, and it reads what was committed when it
        began, whatever is written after. Raises `StoreUnavailable`, then `path` may hold a part.
        """
        await asyncio.to_thread(_copy, self.path, path)


def examine(path: Path) -> Examined:
    """Looks at a copy without changing it. Damage is an answer, not an error."""
    if path.read_bytes()[:16] != b"SQLite format 3\0":
        return Examined(("It is no SQLite database.",))
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
            return _examined(Database(connection))
    except sqlite3.DatabaseError as error:  # some kinds of damage make the check itself stumble
        return Examined((str(error),))


@contextmanager
def held(database: Path) -> Iterator[None]:
    """No o8 runs on `database` meanwhile; raises `AlreadyRunning` when one does."""
    with Translated():
        lock = only_one(database.with_suffix(".lock"))
    try:
        yield
    finally:
        os.close(lock)


def put_in_place(copy: Path, database: Path, aside: Path, actor: str, of: str) -> None:
    """`copy` becomes `database`, at one moment; what was there is kept at `aside`. Needs `held`.

    Sessions and deployments of then are ended, and the audit says who restored what was made at `of`.
    Raises `StoreUnavailable`.
    """
    with Translated():
        _prepare(copy, actor, of)
        if database.exists():
            _fold(database)
            os.link(database, aside)
        copy.replace(database)
        _sync(database.parent)


def _copy(source: Path, target: Path) -> None:
    with Translated():
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        with closing(sqlite3.connect(source, timeout=30)) as reading, closing(sqlite3.connect(target)) as writing:
            # As every connection but the writing one: no checkpoint, see `bot.store.connection`.
            reading.execute("PRAGMA wal_autocheckpoint = 0")
            reading.execute("PRAGMA query_only = 1")
            reading.backup(writing)  # in one step, which is one moment: https://sqlite.org/backup.html
            writing.execute("PRAGMA journal_mode = DELETE")  # one file, whole without a `-wal` beside it


def _examined(db: Database) -> Examined:
    damage = tuple(str(row["integrity_check"]) for row in rows(db, _CHECK) if row["integrity_check"] != "ok")
    damage += tuple(f"{row['table']} refers to nothing" for row in rows(db, "PRAGMA foreign_key_check"))
    if damage:
        return Examined(damage[:5])
    applied = tuple(migration.name for migration in schema.applied(db))
    known = _known()
    unknown = tuple(name for name in applied if name not in known)
    if unknown or not applied:
        return Examined(schema=applied, unknown=unknown)
    sealed = tuple(
        SealedRow(row["service"], row["revision"], bytes(row["sealed"]))
        for row in rows(db, "SELECT service, revision, sealed FROM environments ORDER BY service, revision")
    )
    return Examined(schema=applied, audit_broken_from=broken_from(db), sealed=sealed)


def _known() -> set[str]:
    """The migrations of this o8."""
    with closing(sqlite3.connect(":memory:")) as connection:
        return {migration.name for migration in schema.pending(Database(connection))}


def _prepare(copy: Path, actor: str, of: str) -> None:
    """The restored database as it is to begin: still apart, so that a kill leaves what was there."""
    with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
        db = Database(connection)
        schema.apply(db)
        db.execute("BEGIN IMMEDIATE")
        db.execute("DELETE FROM sessions")  # ended since, perhaps because somebody had to go
        as_restored(db)
        record(db, actor, "restore", "o8", {"backup_of": of})
        db.execute("COMMIT")
    with copy.open("rb") as file:
        os.fsync(file.fileno())


def _fold(database: Path) -> None:
    """What is still in the write-ahead log goes into the file; a log must never meet another database."""
    with suppress(sqlite3.DatabaseError), closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    # A damaged one does not fold. Kept beside for who wants to rescue something.
    for suffix in ("-wal", "-shm"):
        left = database.with_name(database.name + suffix)
        if left.exists():
            left.rename(left.with_name(f"{left.name}.aside"))


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
