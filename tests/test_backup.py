"""Backups: whole and of one moment while o8 works, without secrets, refused when anything is wrong with them."""

from __future__ import annotations

import asyncio
import gzip
import io
import os
import sqlite3
import subprocess
import sys
import tarfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from bot import vault as keys
from bot.configuration import read_toml
from bot.errors import Conflict, InvalidInput, O8Error, StoreUnavailable
from bot.models import Hold, State
from bot.safekeeping.restore import Damaged, check, restore
from bot.store import AlreadyRunning, Store
from tests.small_house import House, open_house
from tests.store.ledger import Ledger

CANARY = "canary-3f9c1b7e-value"
WEBHOOK = "canary-webhook-secret-0123456789"


async def backup(house: House, file: Path, *, with_key: bool = False) -> Path:
    with await house.services.backups.make(with_key=with_key) as archive:
        file.write_bytes(archive.read())
    return file


def members(file: Path) -> dict[str, bytes]:
    with tarfile.open(file) as tar:
        return {m.name: source.read() for m in tar if (source := tar.extractfile(m))}


@pytest.fixture(autouse=True)
def keys_of_their_own(tmp_path: Path) -> None:
    """Houses of tests share one key elsewhere; here it matters whose it is."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir(mode=0o700)
    keys.key_in(tmp_path / "one")


async def filled(house: House) -> None:
    await house.services.worker.start()
    await house.add("web", limits={"cpus": 0.5}, domains=["web.test"])
    await house.add("shop")
    await house.deployed("web")
    await house.ask("PATCH", "/services/web/environment", {"set": {"TOKEN": CANARY}})
    await house.services.store.set_hold("web", Hold(actor="cli:ann", reason="why not", since="2026-01-01T00:00:00Z"))


async def test_another_machine_serves_the_same_services_afterwards(tmp_path: Path) -> None:
    async with open_house(tmp_path / "one") as house:
        await filled(house)
        services = await house.services.store.services()
        releases = await house.services.store.releases("web")
        file = await backup(house, tmp_path / "b.o8", with_key=True)
    found = restore(file, tmp_path / "two", "cli:ann")
    assert found.services == ("shop", "web") and found.aside is None
    async with open_house(tmp_path / "two") as house:
        assert await house.services.store.services() == services
        assert await house.services.store.releases("web") == releases
        assert CANARY in await house.services.operations.environment("web")
        assert await house.services.store.verify_audit() is None
        assert (await house.services.store.audit(1))[0].action == "restore"


async def test_what_was_under_way_is_judged_by_the_backup_and_not_by_flags_of_another_time(tmp_path: Path) -> None:
    """Found by `make fresh`: of a backup made while 0002 was drained, 0001 came back, with a hold."""
    async with open_house(tmp_path / "one") as house:
        ledger = Ledger(house.services.store)
        for name in ("web", "shop"):
            await ledger.service(name)
            await ledger.release("0001", 1, name)
        switched = await ledger.switch("0002", 2)
        await house.services.store.enter(switched.id, State.DRAINING, "b")
        await ledger.want("shop", tag="0002")
        begun = await ledger.claim("shop")
        await house.services.store.enter(begun.id, State.STARTING, "b")
        file = await backup(house, tmp_path / "b.o8", with_key=True)
    restore(file, tmp_path / "two", "cli:ann")
    store = await Store.open(tmp_path / "two/o8.sqlite")
    found = [await store.deployment(each.id) for each in (switched, begun)]
    assert [(each.state, each.slot, each.finished_at is None) for each in found] == [
        (State.SUCCEEDED, "b", False), (State.QUEUED, None, True),
    ]  # fmt: skip
    web = await store.service("web")
    assert (web.live, web.hold) == (switched.id, None)
    assert all(step.ended_at for each in found for step in each.steps)
    await store.close()


async def test_no_secret_is_in_it_and_what_people_need_is(tmp_path: Path) -> None:
    async with open_house(tmp_path / "one", github_webhook_secret=WEBHOOK, base_domain="example.org") as house:
        await filled(house)
        found = members(await backup(house, tmp_path / "b.o8"))
        key = keys.key_in(house.folder)
    assert set(found) == {"manifest.json", "o8.sqlite", "settings.env", "services/web.toml", "services/shop.toml"}
    everything = b"\n".join(found.values())
    for secret in (CANARY, WEBHOOK, key):
        assert secret.encode() not in everything
        assert bytes.fromhex(key) not in everything
    assert "BASE_DOMAIN=example.org\n" in found["settings.env"].decode()
    assert "# GITHUB_WEBHOOK_SECRET=\n" in found["settings.env"].decode()
    service = read_toml(found["services/web.toml"].decode())
    assert (service.domains, service.limits.cpus) == (("web.test",), 0.5)


async def test_the_canary_would_be_seen(tmp_path: Path) -> None:
    """The control: what stands in the database as text is found by the same search."""
    async with open_house(tmp_path / "one") as house:
        await filled(house)
        await house.services.store.remember("slip", CANARY)
        assert CANARY.encode() in members(await backup(house, tmp_path / "b.o8"))["o8.sqlite"]


async def test_the_key_comes_along_only_when_asked_for(tmp_path: Path) -> None:
    async with open_house(tmp_path / "one") as house:
        found = members(await backup(house, tmp_path / "b.o8", with_key=True))
        assert found["secret.key"].decode().strip() == keys.key_in(house.folder)


async def test_a_key_of_the_settings_cannot_come_along(tmp_path: Path) -> None:
    async with open_house(tmp_path, o8_secret_key="11" * 32) as house:
        with pytest.raises(InvalidInput, match="O8_SECRET_KEY is set"):
            await house.services.backups.make(with_key=True)


async def test_it_is_of_one_moment_though_much_is_written_meanwhile(tmp_path: Path) -> None:
    async with open_house(tmp_path / "one") as house:
        store, written = house.services.store, 0

        async def write() -> None:
            nonlocal written
            while True:
                await store.record("cli:ann", "test", "x", {"text": "x" * 2000})
                written += 1

        writing = [asyncio.create_task(write()) for _ in range(4)]
        files = []
        for number in range(5):
            before = written
            files.append((before, await backup(house, tmp_path / f"{number}.o8")))
        for task in writing:
            task.cancel()
        await asyncio.gather(*writing, return_exceptions=True)
    for before, file in files:
        folder = tmp_path / f"from {file.stem}"
        restore(file, folder, "cli:ann")
        again = await Store.open(folder / "o8.sqlite")
        assert await again.verify_audit() is None and await again.damage() == ()
        assert len(await again.audit(100_000)) >= before
        await again.close()
    assert written > files[0][0]


async def test_nothing_is_left_in_the_data_folder(tmp_path: Path) -> None:
    async with open_house(tmp_path / "one") as house:
        (house.folder / ".backup-dead").mkdir()  # of one that was killed
        before = {path.name for path in house.folder.iterdir()} - {".backup-dead"}
        await backup(house, tmp_path / "b.o8")
        assert {path.name for path in house.folder.iterdir()} == before


async def test_two_at_once_are_refused_and_the_next_one_works(tmp_path: Path) -> None:
    async with open_house(tmp_path / "one") as house:
        make = house.services.backups.make
        done = await asyncio.gather(make(), make(), return_exceptions=True)
        assert [type(each).__name__ for each in done if isinstance(each, O8Error)] == ["Conflict"]
        for each in done:
            if not isinstance(each, BaseException):
                each.close()
        await backup(house, tmp_path / "b.o8")


@pytest.mark.parametrize("is_before", [True, False])
async def test_the_key_is_replaced_meanwhile_and_both_fit(
    tmp_path: Path, is_before: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_house(tmp_path / "one") as house:
        await filled(house)
        copy_to = house.services.store.copy_to

        async def copy_and_rotate(path: Path) -> None:
            """The worst moments: between the database and the key, in either order."""
            if is_before:
                await house.services.rotation.rotate()
            await copy_to(path)
            if not is_before:
                await house.services.rotation.rotate()

        monkeypatch.setattr(house.services.store, "copy_to", copy_and_rotate)
        file = await backup(house, tmp_path / "b.o8", with_key=True)
        restore(file, tmp_path / "two", "cli:ann")


# -- what is refused


@pytest.fixture
async def made(tmp_path: Path) -> Path:
    async with open_house(tmp_path / "one") as house:
        await filled(house)
        return await backup(house, tmp_path / "b.o8")


def untouched(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and path.name != "o8.lock"}


async def test_every_kind_of_damage_is_refused_and_changes_nothing(made: Path, tmp_path: Path) -> None:
    text = made.read_bytes()
    folder = tmp_path / "one"
    before = untouched(folder)
    for position in (*range(0, len(text), max(1, len(text) // 60)), *range(len(text) - 30, len(text))):
        changed = bytearray(text)
        changed[position] ^= 0x55
        made.write_bytes(changed)
        if _is_same(text, bytes(changed)):
            continue  # such as the time and the system in gzip's head, which mean nothing
        with pytest.raises(Damaged):
            restore(made, folder, "cli:ann", is_forced=True)
    for length in (0, 10, 100, len(text) // 2, len(text) - 20):
        made.write_bytes(text[:length])
        with pytest.raises(Damaged):
            restore(made, folder, "cli:ann", is_forced=True)
    assert untouched(folder) == before
    made.write_bytes(text)
    check(made)


def _is_same(one: bytes, other: bytes) -> bool:
    try:
        return gzip.decompress(one) == gzip.decompress(other)
    except Exception:
        return False


def rewritten(file: Path, change: Any) -> None:
    """The archive with other members, and digests that fit them."""
    import hashlib

    import orjson

    found = members(file)
    manifest = orjson.loads(found.pop("manifest.json"))
    found = change(found) or found
    manifest["files"] = {
        name: {"bytes": len(text), "sha256": hashlib.sha256(text).hexdigest()} for name, text in found.items()
    }
    with tarfile.open(file, "w:gz") as tar:
        for name, text in {"manifest.json": orjson.dumps(manifest), **found}.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text))


def in_database(statement: str, tmp_path: Path) -> Any:
    def change(found: dict[str, bytes]) -> None:
        path = tmp_path / "changed.sqlite"
        path.write_bytes(found["o8.sqlite"])
        with closing(sqlite3.connect(path)) as db:
            db.execute(statement)
            db.commit()
        found["o8.sqlite"] = path.read_bytes()

    return change


@pytest.mark.parametrize("name", ["../escape", "/etc/escape", "services/../../escape", "o8.lock", "services/x.toml/y"])
async def test_a_file_that_does_not_belong_there_is_refused(made: Path, tmp_path: Path, name: str) -> None:
    rewritten(made, lambda found: found | {name: b"x"})
    with pytest.raises(Damaged, match="does not belong"):
        restore(made, tmp_path / "two", "cli:ann")
    assert not list(tmp_path.rglob("escape")) and not Path("/etc/escape").exists()


async def test_an_edited_audit_is_refused_unless_accepted(made: Path, tmp_path: Path) -> None:
    rewritten(made, in_database("UPDATE audit SET actor = 'cli:nobody' WHERE id = 1", tmp_path))
    with pytest.raises(Damaged, match="chain is broken from entry 1 on"):
        restore(made, tmp_path / "two", "cli:ann", accepted=["values"])
    restore(made, tmp_path / "two", "cli:ann", accepted=["audit", "values"])


async def test_a_database_of_a_newer_o8_is_refused(made: Path, tmp_path: Path) -> None:
    statement = "INSERT INTO _sqlite_migrations VALUES (999, 'orchestr8', 'm9999_future', '2030-01-01')"
    rewritten(made, in_database(statement, tmp_path))
    with pytest.raises(Conflict, match="newer o8: this one does not know m9999_future"):
        restore(made, tmp_path / "two", "cli:ann")


async def test_a_database_that_is_none_is_refused(made: Path, tmp_path: Path) -> None:
    for text in (b"", b"no database", b"SQLite format 3\0" + b"x" * 5000):
        rewritten(made, lambda found, text=text: found | {"o8.sqlite": text})
        with pytest.raises(Damaged, match="database in it is"):
            restore(made, tmp_path / "two", "cli:ann")


async def test_without_the_key_it_is_refused_and_the_right_one_may_be_named(made: Path, tmp_path: Path) -> None:
    with pytest.raises(Conflict, match="No key at hand opens the environment values of web"):
        restore(made, tmp_path / "two", "cli:ann")
    with pytest.raises(Conflict, match="No key at hand"):
        restore(made, tmp_path / "two", "cli:ann", more_keys=["ee" * 32])
    with pytest.raises(InvalidInput, match="64 hexadecimal"):
        restore(made, tmp_path / "two", "cli:ann", more_keys=["short"])
    assert not (tmp_path / "two" / "o8.sqlite").exists()
    restore(made, tmp_path / "two", "cli:ann", more_keys=["ee" * 32, keys.key_in(tmp_path / "one")])
    async with open_house(tmp_path / "two") as house:
        assert CANARY in await house.services.operations.environment("web")


async def test_values_may_be_given_up(made: Path, tmp_path: Path) -> None:
    restore(made, tmp_path / "two", "cli:ann", accepted=["values"])
    async with open_house(tmp_path / "two") as house:
        assert {service.name for service in await house.services.store.services()} == {"web", "shop"}


async def test_a_key_that_the_settings_lack_is_asked_for(made: Path, tmp_path: Path) -> None:
    key = keys.key_in(tmp_path / "one")
    with pytest.raises(Conflict, match="not in O8_SECRET_KEY"):
        restore(made, tmp_path / "two", "cli:ann", settings_keys=["11" * 32], more_keys=[key])
    restore(made, tmp_path / "two", "cli:ann", settings_keys=["11" * 32, key])
    assert not (tmp_path / "two" / "secret.key").exists()


async def test_a_running_o8_is_not_restored_into(made: Path, tmp_path: Path) -> None:
    async with open_house(tmp_path / "two"):
        with pytest.raises(AlreadyRunning):
            restore(made, tmp_path / "two", "cli:ann", is_forced=True, accepted=["values"])


async def test_a_database_is_replaced_only_by_force_and_kept_beside(made: Path, tmp_path: Path) -> None:
    folder = tmp_path / "one"
    async with open_house(folder) as house:
        await house.add("later")
    with pytest.raises(Conflict, match="There is a database"):
        restore(made, folder, "cli:ann")
    found = restore(made, folder, "cli:ann", is_forced=True)
    assert found.aside is not None
    with closing(sqlite3.connect(found.aside)) as db:
        assert db.execute("SELECT count(*) FROM services").fetchone() == (3,)
    async with open_house(folder) as house:
        assert {service.name for service in await house.services.store.services()} == {"web", "shop"}
    again = restore(made, folder, "cli:ann", is_forced=True)
    assert again.aside is not None and again.aside != found.aside


async def test_a_damaged_database_is_replaced_too(made: Path, tmp_path: Path) -> None:
    folder = tmp_path / "one"
    (folder / "o8.sqlite").write_bytes(b"rubbish" * 1000)
    (folder / "o8.sqlite-wal").write_bytes(b"rubbish" * 1000)
    restore(made, folder, "cli:ann", is_forced=True)
    async with open_house(folder) as house:
        assert await house.services.store.damage() == ()
        assert CANARY in await house.services.operations.environment("web")


async def test_what_a_killed_o8_left_in_its_log_stays_with_its_own_database(made: Path, tmp_path: Path) -> None:
    folder = tmp_path / "two"
    source = f"""
import asyncio, os
from pathlib import Path
from bot.store import Store

async def main():
    store = await Store.open(Path({str(folder)!r}) / "o8.sqlite")
    for number in range(50):
        await store.record("cli:ann", "late", "x", {{"text": "x" * 3000}})
    os.kill(os.getpid(), 9)

asyncio.run(main())
"""
    environ = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    await asyncio.to_thread(subprocess.run, [sys.executable, "-c", source], env=environ, timeout=60, check=False)
    assert (folder / "o8.sqlite-wal").stat().st_size > 50 * 3000
    found = restore(made, folder, "cli:ann", is_forced=True, accepted=["values"])
    store = await Store.open(folder / "o8.sqlite")
    assert await store.damage() == () and await store.verify_audit() is None
    assert {service.name for service in await store.services()} == {"web", "shop"}
    await store.close()
    assert found.aside is not None
    with closing(sqlite3.connect(found.aside)) as db:
        assert db.execute("SELECT count(*) FROM audit WHERE action = 'late'").fetchone() == (50,)


async def test_everybody_is_logged_out_and_the_audit_says_who_restored(made: Path, tmp_path: Path) -> None:
    statement = "INSERT INTO sessions VALUES ('h', 'bob', 'c', '', '2026-01-01', '2026-01-01', '2036-01-01')"
    rewritten(made, in_database(statement, tmp_path))
    restore(made, tmp_path / "two", "cli:ann", accepted=["values"])
    with closing(sqlite3.connect(tmp_path / "two" / "o8.sqlite")) as db:
        assert db.execute("SELECT count(*) FROM sessions").fetchone() == (0,)
        assert db.execute("SELECT actor, action FROM audit ORDER BY id DESC").fetchone() == ("cli:ann", "restore")


async def test_a_kill_while_it_is_put_in_place_leaves_either_one_with_its_keys(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed at each rename: afterwards the folder holds a whole database, old or new, whose values can be opened."""
    keys.key_in(tmp_path / "two")
    async with open_house(tmp_path / "two") as house:
        await filled(house)
    more_keys = [keys.key_in(tmp_path / "one")]
    true_rename, true_replace = Path.rename, Path.replace
    for step in range(1, 20):
        passed = 0

        def count(step: int = step) -> None:
            nonlocal passed
            passed += 1
            if passed == step:
                raise KeyboardInterrupt

        def rename(path: Path, target: Path) -> Path:
            count()
            return true_rename(path, target)

        def replace(path: Path, target: Path) -> Path:
            count()
            return true_replace(path, target)

        monkeypatch.setattr(Path, "rename", rename)
        monkeypatch.setattr(Path, "replace", replace)
        try:
            restore(made, tmp_path / "two", "cli:ann", more_keys=more_keys, is_forced=True)
        except KeyboardInterrupt:
            is_over = False
        else:
            is_over = True
        monkeypatch.undo()
        async with open_house(tmp_path / "two") as house:
            assert CANARY in await house.services.operations.environment("web")
            assert await house.services.store.damage() == ()
        if is_over:
            assert step > 2
            return
    pytest.fail("it never ended")


async def test_what_root_restores_belongs_to_the_owner_of_the_folder(made: Path, tmp_path: Path) -> None:
    folder = tmp_path / "two"
    owner = 12345 if os.geteuid() == 0 else os.geteuid()
    os.chown(folder, owner, -1)
    restore(made, folder, "cli:ann", accepted=["values"])
    assert {path.stat().st_uid for path in folder.iterdir()} == {owner}


async def test_a_full_disk_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_house(tmp_path / "one") as house:
        monkeypatch.setattr("tempfile.TemporaryFile", _full)
        with pytest.raises(StoreUnavailable, match="No space left"):
            await house.services.backups.make()
        monkeypatch.undo()
        await backup(house, tmp_path / "b.o8")


def _full(**more: Any) -> Any:
    raise OSError(28, os.strerror(28))
