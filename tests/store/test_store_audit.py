"""The audit: whatever is done to its rows is seen, and stays seen."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial

import pytest
from sqlite_utils import Database

from bot.store import Store

pytestmark = pytest.mark.slow

ENTRIES = 12
_COLUMNS = ("at", "actor", "action", "subject", "detail", "previous", "hash")


async def fill(store: Store) -> None:
    for number in range(ENTRIES):
        await store.record("cli:ann", "deploy", "web", {"deployment": number, "release": f"000{number}"})


async def test_entries_come_back_newest_first(store: Store) -> None:
    await fill(store)
    entries = await store.audit(limit=2)
    assert [(e.id, e.actor, e.action, e.subject, e.detail["deployment"]) for e in entries] == [
        (12, "cli:ann", "deploy", "web", 11), (11, "cli:ann", "deploy", "web", 10),
    ]  # fmt: skip


async def test_an_untouched_chain_is_whole_from_the_first_entry_on(store: Store) -> None:
    assert await store.verify_audit() is None
    for _ in range(3):
        await store.record("cli:ann", "apply", "web", {})
        assert await store.verify_audit() is None


def edit(db: Database, id: int, dice: random.Random) -> None:
    column = dice.choice(_COLUMNS)
    db.execute(f"UPDATE audit SET {column} = {column} || 'x' WHERE id = ?", [id])  # noqa: S608


def delete(db: Database, id: int, dice: random.Random) -> None:
    db.execute("DELETE FROM audit WHERE id = ?", [id])


def delete_and_close_the_gap(db: Database, id: int, dice: random.Random) -> None:
    delete(db, id, dice)
    db.execute("UPDATE audit SET id = id - 1 WHERE id > ?", [id])


def swap(db: Database, id: int, dice: random.Random) -> None:
    other = dice.choice([n for n in range(1, ENTRIES + 1) if n != id])
    for old, new in ((id, -1), (other, id), (-1, other)):
        db.execute("UPDATE audit SET id = ? WHERE id = ?", [new, old])


def cut_off_the_end(db: Database, id: int, dice: random.Random) -> None:
    db.execute("DELETE FROM audit WHERE id >= ?", [id])


def repeat(db: Database, id: int, dice: random.Random) -> None:
    columns = ", ".join(_COLUMNS)
    again = f"INSERT INTO audit SELECT (SELECT max(id) + 1 FROM audit), {columns} FROM audit WHERE id = ?"  # noqa: S608
    db.execute(again, [id])


@pytest.mark.parametrize("tamper", [edit, delete, delete_and_close_the_gap, swap, cut_off_the_end, repeat])
async def test_every_tampering_is_seen(store: Store, tamper: Callable[[Database, int, random.Random], None]) -> None:
    """Each kind at every place, 20 times with other dice; the database is put back in between."""
    await fill(store)
    dice = random.Random(8)

    def at(id: int) -> Callable[[Database], None]:
        return lambda db: tamper(db, id, dice)

    for id in list(range(1, ENTRIES + 1)) * 20:
        await store.write(lambda db: db.execute("CREATE TEMP TABLE kept AS SELECT * FROM audit"))
        await store.write(at(id))
        assert await store.verify_audit() is not None, f"{tamper.__name__} of {id} was not seen"
        for statement in ("DELETE FROM audit", "INSERT INTO audit SELECT * FROM kept", "DROP TABLE kept"):
            await store.write(partial(Database.execute, sql=statement))
        assert await store.verify_audit() is None


async def test_cutting_off_the_end_stays_seen_when_the_chain_goes_on(store: Store) -> None:
    await fill(store)
    await store.write(lambda db: db.execute("DELETE FROM audit WHERE id > 10"))
    await store.record("cli:eve", "remove", "web", {})
    assert await store.verify_audit() == 11


async def test_the_first_broken_entry_is_named(store: Store) -> None:
    await fill(store)
    await store.write(lambda db: db.execute("UPDATE audit SET actor = 'cli:bob' WHERE id = 5"))
    assert await store.verify_audit() == 5
