"""How the database is opened: as safe as SQLite can be, by one process, and never by a guess."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from sqlite_utils import Database

from bot.errors import StoreUnavailable
from bot.store import AlreadyRunning, Store
from bot.store.migrations import schema


@pytest.mark.parametrize(("name", "value"), [("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1)])
async def test_both_connections_are_as_safe_as_asked(store: Store, name: str, value: object) -> None:
    def ask(db: Database) -> object:
        return db.execute(f"PRAGMA {name}").fetchone()[0]

    assert await store.read(ask) == value
    assert await store.write(ask) == value


async def test_the_reading_connection_cannot_write(store: Store) -> None:
    with pytest.raises(StoreUnavailable, match="readonly"):
        await store.read(lambda db: db.execute("DELETE FROM meta"))


async def test_only_the_owner_can_read_the_files(store: Store, database: Path) -> None:
    await store.record("cli:ann", "apply", "web", {})
    modes = {path.name: path.stat().st_mode & 0o777 for path in [database.parent, *database.parent.iterdir()]}
    assert modes.pop("data") == 0o700
    assert set(modes) == {"o8.sqlite", "o8.sqlite-wal", "o8.sqlite-shm", "o8.lock"}
    assert set(modes.values()) == {0o600}


async def test_a_second_process_is_refused_and_the_first_one_goes_on(store: Store, database: Path) -> None:
    source = f"from pathlib import Path; from bot.store import Store; Store(Path({str(database)!r}))"
    command = [sys.executable, "-c", source]
    second = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert second.returncode == 1
    assert f"Another o8 is running on {database.parent}." in second.stderr
    await store.record("cli:ann", "apply", "web", {})


async def test_the_folder_is_free_again_after_close_or_death(database: Path) -> None:
    await (await Store.open(database)).close()
    dead = "import os; from pathlib import Path; from bot.store import Store; "
    dead += f"Store(Path({str(database)!r})); os.kill(os.getpid(), 9)"
    assert subprocess.run([sys.executable, "-c", dead], timeout=30, check=False).returncode == -9
    await (await Store.open(database)).close()


async def test_opening_twice_in_one_process_is_refused_too(store: Store, database: Path) -> None:
    with pytest.raises(AlreadyRunning):
        await Store.open(database)


async def test_a_damaged_file_is_named_and_left_alone(database: Path) -> None:
    database.parent.mkdir()
    database.write_bytes(b"this is no database" * 100)
    for _ in range(2):  # the second try meets the file again, not a lock of the first
        with pytest.raises(StoreUnavailable, match="not a database"):
            await Store.open(database)
    assert database.read_bytes() == b"this is no database" * 100


async def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable, match=r"Not a directory|File exists"):
        await Store.open(tmp_path / "file" / "o8.sqlite")


async def test_a_new_database_is_another_installation_and_the_old_one_stays_itself(database: Path) -> None:
    first = await Store.open(database)
    await first.close()
    again = await Store.open(database)
    other = await Store.open(database.parent / "other.sqlite")
    assert first.installation == again.installation != other.installation
    await again.close()
    await other.close()


async def test_the_schema_is_applied_once(database: Path) -> None:
    for _ in range(2):
        store = await Store.open(database)
        applied = await store.read(lambda db: [m.name for m in schema.applied(db)])
        assert applied[:5] == ["m0001_first", "m0002_people", "m0003_chat", "m0004_logins", "m0005_changes"]
        assert applied[5:] == ["m0006_catalogue", "m0007_alarms"]
        await store.close()


async def test_a_sound_database_has_no_damage(store: Store) -> None:
    assert await store.damage() == ()


@pytest.mark.parametrize("offset", [0, 8])  # in the header of a page: the check reports one, stumbles over the other
async def test_damage_inside_the_file_is_found(database: Path, offset: int) -> None:
    store = await Store.open(database)
    for number in range(50):
        await store.record("cli:ann", "apply", "web", {"text": "x" * 500, "number": number})
    query = "SELECT rootpage FROM sqlite_master WHERE name = 'audit'"
    page = await store.read(lambda db: db.execute(query).fetchone()[0])
    await store.close()
    content = bytearray(database.read_bytes())
    content[(page - 1) * 4096 + offset] = 0xFF
    database.write_bytes(content)
    store = await Store.open(database)
    found = await store.damage()
    await store.close()
    assert found and not any(line == "ok" or line.startswith("***") for line in found)


async def test_who_waits_for_a_write_hears_of_it(store: Store) -> None:
    seen = await store.committed()
    waiting = asyncio.create_task(store.committed(seen))
    await store.services()
    assert not waiting.done()
    await store.record("cli:x", "test", "web", {})
    assert await waiting > seen
    assert await store.committed(seen) > seen
