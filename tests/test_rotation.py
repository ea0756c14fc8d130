"""A new key: whatever kills o8 meanwhile, every value can be opened, and in the end only the new key is needed."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot import vault as keys
from bot.errors import Conflict
from bot.safekeeping.rotation import Rotation
from bot.settings import Settings
from bot.store import Store
from bot.vault import Sealed, Vault
from bot.worker import environment_row

MOMENTS = ("kept", "adopted", "resealed", "retired", "done")
SECRET = "correct horse battery staple"


class Place:
    """A data folder with its vault, as an o8 that has just started has it."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self.store, self.settings = store, settings
        self.vault = Vault(settings.o8_secret_key.get_secret_value() or keys.key_in(settings.o8_data_dir))

    async def put(self, service: str, text: str = SECRET) -> None:
        revision = len(await self.store.environment_revisions(service))
        row = environment_row(service, revision + 1)
        await self.store.add_environment(service, revision, lambda: self.vault.seal(text, row), ["A"], "cli:ann")

    async def opened(self, vault: Vault, service: str, revision: int = 1) -> str:
        return vault.open(await self.store.environment(service, revision), environment_row(service, revision))

    def kept(self) -> list[str]:
        return keys.split((self.settings.o8_data_dir / keys.KEY_FILE).read_text())


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    settings = Settings(o8_data_dir=tmp_path)
    store = await Store.open(settings.database)
    place = Place(store, settings)
    for service in ("web", "shop"):
        for _ in range(3):
            await place.put(service)
    yield place
    await store.close()


async def test_afterwards_the_new_key_alone_opens_everything_and_the_old_one_nothing(place: Place) -> None:
    (old,) = place.kept()
    assert (await Rotation(place.store, place.vault, place.settings).rotate()).resealed == 6
    (new,) = place.kept()
    assert new != old
    for service in ("web", "shop"):
        for revision in (1, 2, 3):
            assert await place.opened(Vault(new), service, revision) == SECRET
            with pytest.raises(Sealed):
                await place.opened(Vault(old), service, revision)
    assert keys.retired(place.settings.o8_data_dir) == [old]
    modes = {path.name: path.stat().st_mode & 0o777 for path in place.settings.o8_data_dir.glob("secret*")}
    assert modes == {"secret.key": 0o600, "secret.key.retired": 0o600}


async def test_what_is_written_meanwhile_needs_no_old_key_either(place: Place) -> None:
    writing = asyncio.create_task(_write_for_ever(place))
    for _ in range(5):
        await Rotation(place.store, place.vault, place.settings).rotate()
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    count = len(await place.store.environment_revisions("busy"))
    assert count > 0
    for revision in range(1, count + 1):
        assert await place.opened(Vault(place.kept()[0]), "busy", revision) == SECRET


async def _write_for_ever(place: Place) -> None:
    while True:
        await place.put("busy")


@pytest.mark.parametrize("moment", MOMENTS)
async def test_whatever_is_cut_off_the_next_start_opens_everything_and_asking_again_ends_it(
    place: Place, moment: str
) -> None:
    (old,) = place.kept()

    def cut(passed: str) -> None:
        if passed == moment:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await Rotation(place.store, place.vault, place.settings, cut).rotate()
    again = Place(place.store, place.settings)  # as the next start reads the folder
    for service in ("web", "shop"):
        for revision in (1, 2, 3):
            assert await again.opened(again.vault, service, revision) == SECRET
    await Rotation(again.store, again.vault, again.settings).rotate()
    (new,) = again.kept()
    assert new != old and await again.opened(Vault(new), "web", 3) == SECRET


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS)
async def test_a_real_kill_leaves_nothing_unreadable(tmp_path: Path, moment: str) -> None:
    source = f"""
import asyncio, os, signal
from pathlib import Path
from bot.safekeeping.rotation import Rotation
from bot.settings import Settings
from bot.store import Store
from tests.test_rotation import Place

async def main():
    settings = Settings(o8_data_dir=Path({str(tmp_path)!r}))
    place = Place(await Store.open(settings.database), settings)
    await place.put("web")
    die = lambda passed: os.kill(os.getpid(), signal.SIGKILL) if passed == {moment!r} else None
    await Rotation(place.store, place.vault, settings, die).rotate()

asyncio.run(main())
"""
    environ = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    dead = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", source], env=environ, timeout=60, check=False, capture_output=True
    )
    assert dead.returncode == -9, dead.stderr.decode()
    settings = Settings(o8_data_dir=tmp_path)
    store = await Store.open(settings.database)
    place = Place(store, settings)
    assert await place.opened(place.vault, "web") == SECRET
    await Rotation(store, place.vault, settings).rotate()
    assert await place.opened(Vault(place.kept()[0]), "web") == SECRET
    await store.close()


async def test_a_value_that_no_key_opens_stops_it_and_changes_nothing(place: Place) -> None:
    foreign = Vault("ff" * 32).seal(SECRET, environment_row("odd", 1))
    await place.store.add_environment("odd", 0, lambda: foreign, ["A"], "cli:ann")
    with pytest.raises(Sealed, match="environment/odd/1"):
        await Rotation(place.store, place.vault, place.settings).rotate()
    assert await place.store.environment("odd", 1) == foreign
    assert len(place.kept()) == 2  # so the next start opens what either key sealed
    await place.put("web")
    again = Place(place.store, place.settings)
    assert [await again.opened(again.vault, "web", n) for n in (1, 4)] == [SECRET, SECRET]


async def test_a_second_one_at_the_same_time_is_refused(place: Place) -> None:
    rotation = Rotation(place.store, place.vault, place.settings)
    done = await asyncio.gather(rotation.rotate(), rotation.rotate(), return_exceptions=True)
    assert sorted(type(each).__name__ for each in done) == ["Conflict", "Rotated"]
    await rotation.rotate()


async def test_keys_of_the_settings_are_the_administrators(tmp_path: Path) -> None:
    old, new = "11" * 32, "22" * 32
    store = await Store.open(tmp_path / "o8.sqlite")
    before = Place(store, Settings.model_validate({"o8_data_dir": tmp_path, "o8_secret_key": old}))
    await before.put("web")
    with pytest.raises(Conflict, match="holds one key"):
        await Rotation(store, before.vault, before.settings).rotate()
    after = Place(store, Settings.model_validate({"o8_data_dir": tmp_path, "o8_secret_key": f"{new},{old}"}))
    rotated = await Rotation(store, after.vault, after.settings).rotate()
    assert rotated.is_in_settings and rotated.resealed == 1
    assert await after.opened(Vault(new), "web") == SECRET
    assert not (tmp_path / keys.KEY_FILE).exists()
    await store.close()
