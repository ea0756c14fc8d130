"""How full the disks are becomes cards: at 80 and 95 per cent, one a day, and they say when it is over."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot import disks
from bot.chat import CardKind
from bot.disks import Disk, Disks
from bot.engines import EngineFacts
from bot.engines.docker import pull
from bot.errors import EngineUnavailable
from bot.findings import NO_ROOM
from bot.notifiers.slack.cards import render
from bot.pruning import Pruner
from bot.store import Store
from tests.fakes import FakeEngine
from tests.store.ledger import IMAGE, Ledger, digest

GB = 10**9


class Machine:
    def __init__(self, store: Store, folder: Path) -> None:
        self.store = store
        self.engine = FakeEngine()
        self.engine.data_root = str(folder / "docker")
        (folder / "docker").mkdir()
        self.disks = Disks(store, self.engine, Pruner(store, self.engine), folder / "docker")

    async def look(self, used: int) -> None:
        """Docker's disk is `used` per cent full."""
        self.engine.disk = ((100 - used) * GB, 100 * GB)
        await self.disks.look()

    async def open(self) -> list[int]:
        return sorted(alarm.level for alarm in await self.store.open_alarms())

    async def cards(self) -> list[tuple[str, bool]]:
        """What each card says and whether it is told at night, oldest first."""
        found = []
        for card in await self.store.due_cards():
            assert card.kind is CardKind.DISK
            rendered = await render(card.model_copy(update={"ts": "1.0"}), self.store)  # it is posted
            assert rendered is not None
            found.append((rendered.message.text, rendered.is_trouble))
        return found

    async def a_day_passes(self) -> None:
        statement = "UPDATE disk_alarms SET began_at = '2020-01-01T00:00:00.000+00:00'"
        await self.store.write(lambda db: db.execute(statement))


@pytest.fixture
async def machine(tmp_path: Path) -> AsyncIterator[Machine]:
    store = await Store.open(tmp_path / "o8.sqlite")
    yield Machine(store, tmp_path)
    await store.close()


async def test_nothing_is_told_while_there_is_room(machine: Machine) -> None:
    await machine.look(79)
    assert await machine.cards() == []


async def test_at_80_per_cent_the_channel_is_told_but_nobody_is_woken(machine: Machine) -> None:
    await machine.look(80)
    ((text, is_trouble),) = await machine.cards()
    assert "is 80 % full" in text and "20.0 GB of 100.0 GB are free" in text
    assert not is_trouble


async def test_at_95_per_cent_it_is_trouble_and_a_card_of_its_own(machine: Machine) -> None:
    await machine.look(85)
    await machine.look(95)
    (_, (text, is_trouble)) = await machine.cards()
    assert "is 95 % full" in text and "deploys nothing that has to be pulled" in text
    assert is_trouble


async def test_a_disk_that_is_suddenly_full_is_one_card(machine: Machine) -> None:
    await machine.look(97)
    assert await machine.open() == [95]
    await machine.look(94)  # not over yet, and no second card
    assert await machine.open() == [95]


async def test_it_is_over_when_there_is_clearly_room_again(machine: Machine) -> None:
    await machine.look(81)
    await machine.look(79)
    assert await machine.open() == [80]
    await machine.look(77)
    assert await machine.open() == []
    ((text, is_trouble),) = await machine.cards()
    assert "has room again: 23.0 GB of 100.0 GB are free" in text and not is_trouble
    assert (await machine.store.due_cards())[0].is_final


async def test_there_is_one_card_a_day(machine: Machine) -> None:
    for used in (81, 70, 82, 70, 83):
        await machine.look(used)
    ((text, _),) = await machine.cards()
    assert "is 80 % full" in text and "17.0 GB" in text
    await machine.look(70)
    await machine.a_day_passes()
    await machine.look(84)
    assert len(await machine.cards()) == 2


async def test_a_card_that_is_true_is_not_shown_again_and_again(machine: Machine) -> None:
    for _ in range(5):
        await machine.look(81)
    (card,) = await machine.store.due_cards()
    assert card.wanted == 1


async def test_an_alarm_that_lasts_for_days_is_one_card(machine: Machine) -> None:
    await machine.look(81)
    await machine.a_day_passes()
    await machine.look(82)
    assert len(await machine.cards()) == 1


async def test_an_alarm_of_a_disk_that_docker_left_is_over(machine: Machine, tmp_path: Path) -> None:
    await machine.look(81)
    (tmp_path / "other").mkdir()
    machine.engine.data_root = str(tmp_path / "other")
    machine.disks = Disks(machine.store, machine.engine, Pruner(machine.store, machine.engine), tmp_path / "other")
    await machine.look(50)
    assert await machine.open() == []


async def test_o8s_own_disk_is_looked_at_too_when_it_is_another_one(machine: Machine, tmp_path: Path) -> None:
    own = await machine.disks._own()
    assert len(await machine.disks._disks(own)) == 1
    other = Disk("/dev/shm", 1, 2)
    machine.disks = Disks(machine.store, machine.engine, Pruner(machine.store, machine.engine), Path("/dev/shm"))
    assert [disk.folder for disk in await machine.disks._disks(other)] == [machine.engine.data_root, "/dev/shm"]
    machine.engine.disk = (0, 0)  # Docker's is not to be seen from here
    assert [disk.folder for disk in await machine.disks._disks(other)] == ["/dev/shm"]


async def test_o8s_own_disk_is_told_of_when_docker_does_not_answer(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk may be why."""
    await machine.look(81)
    machine.engine.data_root = "/elsewhere"

    async def away() -> EngineFacts:
        raise EngineUnavailable("Docker does not answer.")

    async def full() -> Disk:
        return Disk("/data", 1, 100)

    monkeypatch.setattr(machine.engine, "facts", away)
    monkeypatch.setattr(machine.disks, "_own", full)
    with pytest.raises(EngineUnavailable):
        await machine.disks.look()
    assert await machine.open() == [80, 95]  # what was known of Docker's disk stays


async def test_spare_images_go_once_a_day_and_at_once_when_there_is_no_room(machine: Machine) -> None:
    ledger, engine = Ledger(machine.store), machine.engine
    await ledger.service(keep_releases=1)

    async def spare(number: int) -> None:
        engine.images[IMAGE, digest(number)] = 1
        await machine.store.pulled(IMAGE, digest(number), "web")

    await spare(1)
    await machine.look(50)
    assert not engine.images
    await spare(2)
    await machine.look(90)
    assert len(engine.images) == 1  # it was done today
    await machine.look(95)
    assert not engine.images
    await spare(3)
    machine.disks._pruned_at = -disks.PRUNE_S
    await machine.look(50)
    assert not engine.images
    assert [entry.action for entry in await machine.store.audit() if entry.actor == "o8"] == ["prune"] * 3


def test_the_pull_and_the_alarm_agree_about_no_room() -> None:
    assert pull.ROOM.share == NO_ROOM
    assert Disk("/", 5, 100).part_free == NO_ROOM
