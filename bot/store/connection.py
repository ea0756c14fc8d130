"""One SQLite database in one process: WAL, every commit synced, one thread that writes and one that reads.

Methods of the store are plain SQL over a `Database`, marked `@question` or `@change`; callers await them.
"""

from __future__ import annotations

import asyncio
import fcntl
import functools
import os
import sqlite3
import uuid
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from sqlite_utils import Database

from bot.errors import O8Error, StoreUnavailable
from bot.store.migrations import schema

P = ParamSpec("P")
T = TypeVar("T")
S = TypeVar("S", bound="Connection")

BUSY_TIMEOUT_S = 5.0  # GitHub waits 10 s for an answer


class AlreadyRunning(O8Error):
    """Another o8 works on the same data folder."""

    code = "already_running"


class Connection:
    """Opens `path`, brings its schema up to date and refuses a second process on it.

    Raises `AlreadyRunning`; `StoreUnavailable` when the file is damaged, full or not ours to write.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with Translated():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = only_one(path.with_suffix(".lock"))
            try:
                self._prepare(path)
            except BaseException:
                os.close(self._lock)  # who tries again in this process must not meet its own lock
                raise
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="sqlite-write")
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="sqlite-read")
        self._commits = 0
        self._committed = asyncio.Event()

    def _prepare(self, path: Path) -> None:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))  # SQLite gives -wal and -shm its mode
        path.chmod(0o600)
        self._writing = _open(path)
        schema.apply(self._writing)
        self._reading = _open(path, is_reader=True)
        self.installation = self._installation()

    @classmethod
    async def open(cls, path: Path) -> Self:
        """The constructor, off the event loop."""
        return await asyncio.to_thread(cls, path)

    async def close(self) -> None:
        """Lets the running statements end, then closes."""
        for pool, db in ((self._reader, self._reading), (self._writer, self._writing)):
            await asyncio.get_running_loop().run_in_executor(pool, db.close)
            pool.shutdown()
        os.close(self._lock)

    async def read(self, query: Callable[[Database], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._reader, _run, query, self._reading)

    async def write(self, work: Callable[[Database], T]) -> T:
        """Runs `work` in one transaction. A caller that is cancelled does not undo it."""
        loop = asyncio.get_running_loop()
        job = self._writer.submit(_commit, work, self._writing)
        job.add_done_callback(lambda _: loop.call_soon_threadsafe(self._note_commit))
        return await asyncio.wrap_future(job)

    async def committed(self, seen: int = -1) -> int:
        """Returns once something was written since `seen`, which an earlier call returned; without one at once."""
        while self._commits <= seen:
            await self._committed.wait()
        return self._commits

    def _note_commit(self) -> None:
        self._commits += 1
        self._committed.set()
        self._committed = asyncio.Event()

    def _installation(self) -> str:
        """Marks the containers of this database; a new database never takes another one's for its own."""

        def find_or_make(db: Database) -> str:
            db.execute("INSERT OR IGNORE INTO meta VALUES ('installation', ?)", [str(uuid.uuid4())])
            return str(db.execute("SELECT value FROM meta WHERE key = 'installation'").fetchone()[0])

        return _commit(find_or_make, self._writing)


def question(method: Callable[Concatenate[S, Database, P], T]) -> Callable[Concatenate[S, P], Coroutine[Any, Any, T]]:
    """Makes a method over `(self, db, ...)` an awaitable one over `(self, ...)` that only reads."""

    @functools.wraps(method)
    async def ask(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.read(lambda db: method(self, db, *args, **kwargs))

    return ask


def change(method: Callable[Concatenate[S, Database, P], T]) -> Callable[Concatenate[S, P], Coroutine[Any, Any, T]]:
    """Makes a method over `(self, db, ...)` an awaitable one over `(self, ...)` that is one transaction."""

    @functools.wraps(method)
    async def perform(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.write(lambda db: method(self, db, *args, **kwargs))

    return perform


def now() -> str:
    """The time as rows hold it: ISO-8601 in UTC, sortable as text."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def rows(db: Database, sql: str, parameters: Any = ()) -> list[dict[str, Any]]:
    cursor = db.execute(sql, parameters)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _open(path: Path, *, is_reader: bool = False) -> Database:
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    wanted = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
    for name, value in wanted.items():
        connection.execute(f"PRAGMA {name} = {value}")
        found = connection.execute(f"PRAGMA {name}").fetchone()[0]
        if found != value:
            raise StoreUnavailable(
                f"SQLite keeps {name} = {found} instead of {value} for {path}.", "Is it on a network file system?"
            )
    if is_reader:
        # Only the writing connection may write or checkpoint: two that do can lose a WAL reset (SQLite up to 3.51.2).
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("PRAGMA query_only = 1")
    return Database(connection)


def only_one(path: Path) -> int:
    """A handle that holds the lock `path` until it is closed; raises `AlreadyRunning` when somebody else does."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise AlreadyRunning(
            f"Another o8 is running on {path.parent}.", "Stop it first, or set O8_DATA_DIR to another folder."
        ) from None
    return descriptor


def _run(query: Callable[[Database], T], db: Database) -> T:
    with Translated():
        return query(db)


def _commit(work: Callable[[Database], T], db: Database) -> T:
    with Translated():
        db.execute("BEGIN IMMEDIATE")
        try:
            result = work(db)
            db.execute("COMMIT")
        except BaseException:
            if db.conn.in_transaction:
                db.execute("ROLLBACK")
            raise
        return result


class Translated:
    """Turns errors of SQLite and of the files under it into `StoreUnavailable`."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        is_sqlite = isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.IntegrityError)
        if is_sqlite or isinstance(error, OSError):
            raise StoreUnavailable(f"The database cannot be used: {error}.", "`o8 doctor` says more.") from error
