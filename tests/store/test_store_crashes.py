"""Whatever happens under it (kills, other writers, full disks), what was acknowledged is there afterwards."""

from __future__ import annotations

import asyncio
import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bot.errors import StoreUnavailable
from bot.store import Store, connection

pytestmark = pytest.mark.slow

KILLS = 20

WRITER = """
    import asyncio, sys
    from pathlib import Path
    from bot.store import Store

    async def main():
        store = await Store.open(Path(sys.argv[1]))
        number = 0
        while True:
            number += 1
            await store.record("writer", "write", sys.argv[2], {"number": number, "text": "x" * 3000})
            print(number, flush=True)

    asyncio.run(main())
"""
HOLDER = """
    import sqlite3, sys, time
    db = sqlite3.connect(sys.argv[1], isolation_level=None)
    db.execute("BEGIN IMMEDIATE")
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
    db.execute("ROLLBACK")
"""


@contextmanager
def python(source: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", textwrap.dedent(source), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip()


async def test_a_kill_in_the_middle_of_writes_loses_nothing_acknowledged(database: Path) -> None:
    """20 kills at random moments. The writer prints a number once its write has returned."""
    dice = random.Random(8)
    for kill in range(KILLS):
        with python(WRITER, str(database), str(kill)) as writer:
            assert first_line(writer)
            time.sleep(dice.uniform(0, 0.05))  # the moment of the kill, not a wait for something
            os.kill(writer.pid, signal.SIGKILL)
            assert writer.stdout
            printed = [line for line in writer.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
        acknowledged = int(printed[-1]) if printed else 1
        store = await Store.open(database)
        try:
            there = {e.detail["number"] for e in await store.audit(limit=acknowledged + 5) if e.subject == str(kill)}
            assert set(range(1, acknowledged + 1)) <= there <= set(range(1, acknowledged + 2))
            assert await store.damage() == ()
            assert await store.verify_audit() is None
        finally:
            await store.close()


async def test_a_write_waits_for_another_writer(store: Store, database: Path) -> None:
    with python(HOLDER, str(database), "0.3") as holder:
        assert first_line(holder) == "held"
        await store.record("cli:ann", "apply", "web", {})
    assert len(await store.audit()) == 1


async def test_another_writer_for_too_long_is_a_clear_error_and_no_harm(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "BUSY_TIMEOUT_S", 0.2)
    store = await Store.open(database)
    with python(HOLDER, str(database), "60") as holder:
        assert first_line(holder) == "held"
        with pytest.raises(StoreUnavailable, match="locked"):
            await store.record("cli:ann", "apply", "web", {})
        assert await store.audit() == ()  # reading goes on meanwhile
    await store.record("cli:ann", "apply", "web", {})
    assert len(await store.audit()) == 1
    await store.close()


def test_the_wait_for_another_writer_is_shorter_than_githubs_patience() -> None:
    assert connection.BUSY_TIMEOUT_S < 10


async def test_a_full_disk_is_a_clear_error_and_writing_recovers(database: Path) -> None:
    """No file may grow any more, as on a full disk; this process gets its own limit back at the end."""
    store = await Store.open(database)
    await store.record("cli:ann", "apply", "web", {"number": 0})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    written = 0
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024 * 1024, before[1]))  # the schema alone takes 0.4 MB of log
    try:
        with pytest.raises(StoreUnavailable, match=r"full|disk I/O error"):
            for number in range(1, 400):
                await store.record("cli:ann", "apply", "web", {"number": number, "text": "x" * 4000})
                written = number
        with pytest.raises(StoreUnavailable):
            await store.record("cli:ann", "apply", "web", {"text": "x" * 40000})
        assert len(await store.audit(limit=500)) == written + 1  # what is there can still be read
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    await store.record("cli:ann", "apply", "web", {"number": written + 1})
    assert [e.detail["number"] for e in await store.audit(limit=500)] == list(range(written + 1, -1, -1))
    assert written > 5
    assert await store.verify_audit() is None
    await store.close()


async def test_a_failed_change_leaves_nothing_behind(store: Store) -> None:
    def half(db: object) -> None:
        db.execute("INSERT INTO meta VALUES ('half', 'done')")  # type: ignore[attr-defined]
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError):
        await store.write(half)
    assert await store.read(lambda db: db.execute("SELECT * FROM meta WHERE key = 'half'").fetchall()) == []
    await store.record("cli:ann", "apply", "web", {})


async def test_a_caller_that_goes_away_does_not_undo_its_write(store: Store) -> None:
    writing = asyncio.create_task(store.record("cli:ann", "apply", "web", {}))
    await asyncio.sleep(0)
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    await store.record("cli:ann", "apply", "api", {})  # waits its turn behind the first
    assert [e.subject for e in await store.audit()] == ["api", "web"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a mount")
async def test_a_read_only_file_system_is_a_clear_error(database: Path) -> None:
    await (await Store.open(database)).close()
    script = (
        f"mount --bind {database.parent} {database.parent} && mount -o remount,ro,bind {database.parent} && "
        f"{sys.executable} -c 'from pathlib import Path; from bot.store import Store; Store(Path(\"{database}\"))'"
    )
    found = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True, timeout=30, check=False
    )
    assert "StoreUnavailable" in found.stderr and "Read-only file system" in found.stderr


def test_sqlite_itself_would_lose_a_write_that_was_not_committed(tmp_path: Path) -> None:
    """The control of the kills: a write that was not acknowledged is not there."""
    source = """
        import os, sqlite3, sys
        db = sqlite3.connect(sys.argv[1], isolation_level=None)
        db.execute("PRAGMA journal_mode = wal")
        db.execute("CREATE TABLE t (n)")
        db.execute("BEGIN IMMEDIATE")
        db.execute("INSERT INTO t VALUES (1)")
        os.kill(os.getpid(), 9)
    """
    with python(source, str(tmp_path / "x.sqlite")) as process:
        process.wait(30)
    assert sqlite3.connect(tmp_path / "x.sqlite").execute("SELECT * FROM t").fetchall() == []
