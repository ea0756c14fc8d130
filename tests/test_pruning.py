"""Images come and go between a real store and a stand-in for the engine: what nothing needs goes, and only that."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bot.engines import Credentials
from bot.errors import DiskFull, EngineError, EngineUnavailable
from bot.pruning import KEPT_BY_HAND, Pruner
from bot.store import Store
from tests.fakes import FakeEngine
from tests.store.ledger import IMAGE, Ledger, digest

NOBODY = Credentials("", "", "")
SIZE = 40_000_000


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    store = await Store.open(tmp_path / "o8.sqlite")
    yield Ledger(store)
    await store.close()


class Place:
    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.engine = FakeEngine()
        self.pruner = Pruner(ledger.store, self.engine)

    async def pull(self, number: int, service: str = "web") -> bool:
        return await self.pruner.pull(IMAGE, digest(number), service, NOBODY, lambda *_: None, lambda: False)

    async def releases(self, *numbers: int, service: str = "web") -> None:
        for number in numbers:
            await self.pull(number, service)
            await self.ledger.release(f"000{number}", number, service)

    def here(self) -> list[int]:
        return sorted(int(found.removeprefix("sha256:"), 16) for _, found in self.engine.images)

    async def long_ago(self) -> None:
        """Whatever was pulled, was pulled years ago."""
        statement = "UPDATE images SET pulled_at = '2020-01-01T00:00:00.000+00:00'"
        await self.ledger.store.write(lambda db: db.execute(statement))


@pytest.fixture
async def place(ledger: Ledger) -> Place:
    await ledger.service(keep_releases=2)
    return Place(ledger)


async def test_what_no_release_needs_goes_and_is_told(place: Place) -> None:
    await place.releases(1, 2, 3, 4)
    tried = await place.pruner.prune(is_dry_run=True)
    assert [each.digest for each in tried.images] == [digest(1), digest(2)]
    assert (tried.bytes, tried.is_dry_run, place.here()) == (2 * SIZE, True, [1, 2, 3, 4])
    done = await place.pruner.prune()
    assert (done.images, done.bytes, done.is_dry_run) == (tried.images, 2 * SIZE, False)
    assert place.here() == [3, 4]
    assert (await place.pruner.prune()).images == ()


async def test_the_images_of_a_removed_service_go(place: Place) -> None:
    await place.ledger.service("old", image=IMAGE)
    await place.releases(1, service="old")
    await place.releases(2)
    await place.ledger.store.forget_service("old")
    await place.pruner.prune("web")
    assert place.here() == [1, 2]  # nobody's retirement looks after them
    await place.pruner.prune()
    assert place.here() == [2]


async def test_what_was_pulled_by_hand_goes_after_a_week_or_when_it_is_urgent_after_an_hour(place: Place) -> None:
    await place.pull(1, "")
    assert (await place.pruner.prune(is_urgent=True)).images == ()
    await place.long_ago()
    assert len((await place.pruner.prune()).images) == 1


async def test_what_was_here_before_stays(place: Place) -> None:
    """Somebody else's image, which o8 was asked for by hand and for a deployment."""
    place.engine.images[IMAGE, digest(1)] = SIZE
    assert not await place.pull(1, "")
    assert not await place.pull(1)
    await place.long_ago()
    assert (await place.pruner.prune()).images == ()
    assert place.here() == [1]


async def test_an_image_in_use_stays_and_goes_when_it_is_free(place: Place) -> None:
    await place.releases(1, 2, 3)
    place.engine.in_use.add((IMAGE, digest(1)))
    assert (await place.pruner.prune()).images == ()
    assert place.here() == [1, 2, 3]
    place.engine.in_use.clear()
    assert len((await place.pruner.prune()).images) == 1


async def test_an_image_that_somebody_removed_is_forgotten_and_not_counted(place: Place) -> None:
    await place.releases(1, 2, 3)
    del place.engine.images[IMAGE, digest(1)]
    assert (await place.pruner.prune(is_dry_run=True)).images == ()
    assert (await place.pruner.prune()).images == ()
    assert await place.ledger.store.spare_images(None, KEPT_BY_HAND) == ()


async def test_one_image_that_cannot_be_removed_does_not_keep_the_others(place: Place) -> None:
    await place.releases(1, 2, 3, 4)

    class Stubborn(FakeEngine):
        async def remove_image(self, image: str, digest_: str) -> bool:
            if digest_ == digest(1):
                raise EngineError("No.")
            return await super().remove_image(image, digest_)

    engine = Stubborn()
    engine.images = place.engine.images
    assert [each.digest for each in (await Pruner(place.ledger.store, engine).prune()).images] == [digest(2)]
    assert place.here() == [1, 3, 4]


async def test_an_engine_that_is_away_is_an_error(place: Place) -> None:
    await place.releases(1, 2, 3)

    class Away(FakeEngine):
        async def remove_image(self, image: str, digest: str) -> bool:
            raise EngineUnavailable("Docker does not answer.")

    with pytest.raises(EngineUnavailable):
        await Pruner(place.ledger.store, Away()).prune()
    assert (await place.pruner.prune()).bytes == SIZE  # nothing was forgotten


async def test_a_full_disk_is_pruned_before_a_pull_is_given_up(place: Place) -> None:
    await place.releases(1, 2, 3)
    place.engine.room_for = 0
    assert await place.pull(4)
    assert place.here() == [2, 3, 4]
    entry = (await place.ledger.store.audit(1))[0]
    assert (entry.actor, entry.action) == ("o8", "prune")
    with pytest.raises(DiskFull, match="0 MB are free") as caught:
        await place.pull(5)
    assert "no spare image left" in caught.value.next_step
    assert place.here() == [2, 3, 4]


async def test_a_deployment_that_finds_its_image_keeps_it(place: Place) -> None:
    """Both at the same moment, often: the image is either kept, or fetched again."""
    await place.releases(1, 2, 3)
    for _ in range(50):
        place.engine.images[IMAGE, digest(1)] = SIZE
        await place.ledger.store.pulled(IMAGE, digest(1), "web")

        async def deploy() -> None:
            await place.ledger.want(tag="0001", digest=digest(1))
            await place.pull(1)
            assert await place.engine.has_image(IMAGE, digest(1))

        await asyncio.gather(place.pruner.prune(), deploy(), place.pruner.prune())
        assert await place.engine.has_image(IMAGE, digest(1))
        (wanted,) = await place.ledger.store.deployments("web", limit=1)
        assert await place.ledger.store.cancel_pending(wanted.id, "enough")


class Removing(FakeEngine):
    """Stops before each removal until `go`."""

    def __init__(self, images: dict[tuple[str, str], int]) -> None:
        super().__init__()
        self.images = images
        self.is_removing, self.go = asyncio.Event(), asyncio.Event()

    async def has_image(self, image: str, digest: str) -> bool:
        found = await super().has_image(image, digest)
        if self.is_removing.is_set() and not self.go.is_set():
            self.go.set()
            await asyncio.sleep(0.05)  # what was found is removed meanwhile
        return found

    async def remove_image(self, image: str, digest: str) -> bool:
        self.is_removing.set()
        await self.go.wait()
        return await super().remove_image(image, digest)


class Unlocked(asyncio.Lock):
    async def acquire(self) -> Any:
        return True

    def release(self) -> None:
        pass


@pytest.mark.parametrize("is_locked", [True, False])
async def test_no_image_is_removed_between_a_deployments_look_and_its_start(
    place: Place, is_locked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control has no lock: its deployment finds the image, which is gone then."""
    await place.releases(1, 2, 3)
    engine = Removing(place.engine.images)
    place.pruner._engine = engine
    if not is_locked:
        monkeypatch.setattr(place.pruner, "_choosing_about", lambda digest: Unlocked())

    async def deploy() -> None:
        await engine.is_removing.wait()
        await place.ledger.want(tag="0001", digest=digest(1))
        if is_locked:
            engine.go.set()
        await place.pull(1)

    await asyncio.wait_for(asyncio.gather(place.pruner.prune(), deploy()), 10)
    assert place.here() == ([1, 2, 3] if is_locked else [2, 3])
