"""One stream for any number of readers; no gap and no double line, whatever becomes of container, release or Docker."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.configuration import read
from bot.errors import Conflict, NotFound
from bot.logs import Batch, Cursor, Line, Logs, TooSlow, board, feed
from bot.models import Kind, State, Wanted
from bot.store import Store
from bot.vault import Vault
from lab.waiting import until
from tests.logs.scripted import START, Container, ScriptedEngine

pytestmark = pytest.mark.slow


@dataclass
class Reader:
    """Reads in a task of its own, until the block that made it ends."""

    lines: list[Line] = field(default_factory=list)
    trouble: BaseException | None = None
    places: Cursor = field(default_factory=Cursor)

    @property
    def id(self) -> Cursor:
        """Where it is, as events say it."""
        return Cursor.read(str(self.places))

    async def is_told(self, words: str) -> None:
        async def look() -> bool:
            return any(words in line.text for line in self.lines if line.is_marker)

        await until(look)

    @property
    def texts(self) -> list[str]:
        return [line.text for line in self.lines]

    @property
    def written(self) -> list[str]:
        """Without o8's own lines."""
        return [line.text for line in self.lines if not line.is_marker]

    async def has(self, count: int) -> None:
        async def look() -> bool:
            if self.trouble:
                raise self.trouble
            return len(self.written) >= count

        await until(look)


@dataclass
class Place:
    store: Store
    engine: ScriptedEngine
    logs: Logs

    async def release(self, number: int = 0) -> int:
        """A new release of `web` serves; returns its id."""
        wanted = await self.store.want(Wanted(service="web", kind=Kind.DEPLOY, actor="cli:x", tag=f"{number:04}"))
        await self.store.claim("web")
        await self.store.enter(wanted.id, State.SWITCHING, "a" if number % 2 else "b")
        await self.store.leave(wanted.id, {}, has_switched=True)
        await self.store.finish(wanted.id, State.SUCCEEDED)
        return wanted.id

    @asynccontextmanager
    async def reader(self, **how: Any) -> AsyncIterator[Reader]:
        found, begun = Reader(), asyncio.Event()

        async def reading() -> None:
            try:
                async with aclosing(self.logs.follow("web", **how)) as batches:
                    async for batch in batches:
                        found.lines += batch.lines
                        found.places.note(batch.places)
                        begun.set()
            except Exception as trouble:
                found.trouble = trouble

        task = asyncio.create_task(reading())
        await asyncio.wait_for(begun.wait(), 10)
        yield found
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Place]:
    for module, name, seconds in (
        (feed, "LOOK_S", 0.02),
        (feed, "PAUSE_S", 0.0),
        (board, "GATHER_S", 0.005),
        (board, "SILENCE_S", 0.05),
        (feed, "LINGER_S", 0.2),
    ):
        monkeypatch.setattr(module, name, seconds)
    store, engine = await Store.open(tmp_path / "o8.sqlite"), ScriptedEngine()
    await store.apply(read({"name": "web", "image": "ghcr.io/acme/web", "port": 80}), 100)
    logs = Logs(store, engine, Vault("ab" * 32))  # type: ignore[arg-type]
    yield Place(store, engine, logs)
    await logs.close()
    await store.close()


@pytest.fixture
async def web(place: Place) -> Container:
    """Release 0000 in slot b with one container."""
    return place.engine.start("web", "b", await place.release())


def numbered(first: int, last: int) -> list[str]:
    return [f"line {number}" for number in range(first, last)]


async def test_many_readers_share_one_stream_and_read_the_same(place: Place, web: Container) -> None:
    async with place.reader() as one, place.reader() as two, place.reader() as three:
        place.engine.write(web, *numbered(0, 50))
        for reader in (one, two, three):
            await reader.has(50)
            assert reader.written == numbered(0, 50)
        assert place.engine.streams == place.engine.opened == 1


async def test_the_stream_ends_a_while_after_the_last_reader(place: Place, web: Container) -> None:
    async with place.reader():
        place.engine.write(web, "x")

    async def is_closed() -> bool:
        return place.engine.streams == 0

    assert await until(is_closed)


@pytest.mark.parametrize("tail", [0, 1, 10, 1500, 5000])
async def test_a_reader_begins_with_the_last_lines_that_it_asks_for(place: Place, web: Container, tail: int) -> None:
    place.engine.write(web, *numbered(0, 2000))
    async with place.reader(tail=tail) as reader:
        await reader.has(min(tail, 2000))
        place.engine.write(web, "new")
        await reader.has(min(tail, 2000) + 1)
    assert reader.written == [*numbered(max(2000 - tail, 0), 2000), "new"]


async def test_a_late_reader_gets_what_the_feed_has_forgotten_from_docker(
    place: Place, web: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(board, "RING_BYTES", 40_000)
    async with place.reader(tail=0) as early:
        for first in range(0, 1000, 100):
            place.engine.write(web, *numbered(first, first + 100))
            await early.has(first + 100)
        async with place.reader(tail=900) as late:
            await late.has(900)
            assert late.written == numbered(100, 1000)


async def test_since_leaves_out_what_is_older(place: Place, web: Container) -> None:
    place.engine.write(web, *numbered(0, 100))  # a millisecond apart
    async with place.reader(tail=1000, since=START + timedelta(milliseconds=90.5)) as reader:
        await reader.has(10)
    assert reader.written == numbered(90, 100)


async def test_the_log_goes_on_with_the_next_release_and_says_so(place: Place, web: Container) -> None:
    async with place.reader() as reader:
        place.engine.write(web, "old 1")
        await reader.has(1)
        new = place.engine.start("web", "a", 2)
        place.engine.write(new, "new 1", "new 2")  # before the switch: its start is part of the story
        await place.release(1)
        place.engine.write(web, "old 2")
        await reader.has(4)
        place.engine.end(web)
        place.engine.write(new, "new 3")
        await reader.has(5)
    assert sorted(reader.written) == ["new 1", "new 2", "new 3", "old 1", "old 2"]
    assert [line.text for line in reader.lines if line.is_marker] == ["--- 0001 takes over (deployment 2) ---"]


async def test_a_container_that_is_restarted_goes_on_without_gap_or_double(place: Place, web: Container) -> None:
    async with place.reader() as reader:
        place.engine.write(web, "a", "b")
        await reader.has(2)
        place.engine.end(web)

        async def is_cut() -> bool:
            return place.engine.streams == 0

        await until(is_cut)
        place.engine.write(web, "c")
        place.engine.resume(web)
        place.engine.write(web, "d")
        await reader.has(4)
    assert reader.written == ["a", "b", "c", "d"]


async def test_a_restart_of_docker_loses_and_doubles_nothing(place: Place, web: Container) -> None:
    async with place.reader() as reader:
        place.engine.write(web, *numbered(0, 10))
        await reader.has(10)
        place.engine.go_down()

        async def is_told() -> bool:
            return any("Docker does not answer" in line.text for line in reader.lines)

        await until(is_told)
        place.engine.write(web, *numbered(10, 20))
        place.engine.come_up()
        place.engine.write(web, *numbered(20, 30))
        await reader.has(30)
    assert reader.written == numbered(0, 30)


async def test_docker_away_at_the_start_is_told_and_waited_for(place: Place, web: Container) -> None:
    place.engine.write(web, "before")
    place.engine.go_down()
    async with place.reader() as reader:

        async def is_told() -> bool:
            return bool(reader.lines)

        await until(is_told)
        place.engine.come_up()
        await reader.has(1)
    assert reader.written == ["before"]


async def test_lines_of_one_moment_are_told_apart(place: Place, web: Container) -> None:
    async with place.reader() as reader:
        place.engine.write(web, *numbered(0, 5), is_same_moment=True)
        await reader.has(5)
        place.engine.go_down()
        place.engine.write(web, *numbered(5, 8), is_same_moment=True)
        place.engine.come_up()
        await reader.has(8)
    assert reader.written == numbered(0, 8)


async def test_who_comes_back_with_a_place_misses_nothing_and_gets_nothing_twice(place: Place) -> None:
    id = await place.release()
    replicas = [place.engine.start("web", "b", id, number) for number in range(3)]
    dice, seen, cursor = random.Random(3), [], Cursor()
    for _ in range(20):
        async with aclosing(place.logs.follow("web", after=cursor.copy())) as batches:
            for replica in replicas:
                place.engine.write(replica, *(f"{dice.random()}" for _ in range(dice.randrange(5))))
            taken = 0
            async for batch in batches:
                lines = list(batch.lines)[: dice.randrange(1, 4)]
                for line in lines:
                    cursor.note(Cursor({line.origin.replica: line.place}))
                    seen.append(line.text)
                taken += 1
                if lines or taken > 3:
                    break
    async with place.reader(after=Cursor.read(str(cursor))) as rest:
        await rest.has(sum(len(replica.lines) for replica in replicas) - len(seen))
    everything = [text for replica in replicas for _, text in replica.lines]
    assert sorted([*seen, *rest.written]) == sorted(everything)


async def test_a_reader_that_cannot_keep_up_is_cut_and_told(
    place: Place, web: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(board, "RING_BYTES", 40_000)
    async with place.reader(tail=0) as quick, aclosing(place.logs.follow("web", tail=0)) as slow:
        await anext(slow)
        for first in range(0, 1000, 50):
            place.engine.write(web, *numbered(first, first + 50))
            await quick.has(first + 50)
        with pytest.raises(TooSlow, match="cut off"):
            async for _ in slow:
                pass
    assert quick.written == numbered(0, 1000)


async def test_silence_is_told_too(place: Place, web: Container) -> None:
    async with aclosing(place.logs.follow("web")) as batches:
        assert [batch.lines async for batch in _first(batches, 3)] == [(), (), ()]


async def test_secrets_are_masked(place: Place) -> None:
    vault, text = Vault("ab" * 32), "TOKEN=canary-1234\n"
    await place.store.add_environment("web", 0, lambda: vault.seal(text, "environment/web/1"), ["TOKEN"], "cli:x")
    web = place.engine.start("web", "b", await place.release())
    async with place.reader() as reader:
        place.engine.write(web, "the token is canary-1234.")
        await reader.has(1)
    assert "canary" not in reader.written[0]


async def test_what_was_never_deployed_or_is_not_there_has_no_log(place: Place) -> None:
    with pytest.raises(Conflict, match="never been deployed"):
        await anext(place.logs.follow("web"))
    with pytest.raises(NotFound):
        await anext(place.logs.follow("nope"))


async def test_readers_of_a_service_that_is_removed_are_told(place: Place, web: Container) -> None:
    async with place.reader() as reader:
        place.engine.write(web, "x")
        await reader.has(1)
        await place.store.forget_service("web")

        async def is_told() -> bool:
            return reader.trouble is not None

        assert await until(is_told)
    assert isinstance(reader.trouble, NotFound)


async def test_a_container_that_is_never_seen_running_is_followed_through_all_its_lives(
    place: Place, web: Container
) -> None:
    async with place.reader() as reader:
        place.engine.write(web, "life 0")
        await reader.has(1)
        for life in range(1, 5):
            place.engine.live_once_more(web, f"life {life}")
            await reader.has(life + 1)
    assert reader.written == [f"life {life}" for life in range(5)]


@pytest.mark.parametrize("is_cut", [False, True])
async def test_lines_that_overtake_one_another_are_all_read(place: Place, web: Container, is_cut: bool) -> None:
    async with place.reader() as reader:
        for number in range(0, 20, 2):
            place.engine.write(web, f"line {number}")
            place.engine.write_overtaken(web, f"line {number + 1}")
            await reader.has(number + 2)
            if is_cut:
                await interrupt(place, reader)
    assert reader.written == numbered(0, 20)


@pytest.mark.parametrize("is_cut", [False, True])
async def test_a_clock_that_is_set_back_silences_no_log(place: Place, web: Container, is_cut: bool) -> None:
    async with place.reader() as reader:
        for number in range(0, 8, 2):
            place.engine.write(web, f"line {number}")
            place.engine.set_clock_back(1)
            place.engine.write(web, f"line {number + 1}")
            await reader.has(number + 2)
            if is_cut:
                await interrupt(place, reader)
                await until(lambda: is_read(place))  # Docker is asked by time, so not both at the same moment
    assert reader.written == numbered(0, 8)


@pytest.mark.parametrize("is_cut", [False, True])
async def test_lines_that_docker_gives_twice_are_read_once(place: Place, web: Container, is_cut: bool) -> None:
    async with place.reader() as reader:
        for first in range(0, 50, 10):
            place.engine.write(web, *numbered(first, first + 10))
            place.engine.write_again(web, 5)
            await reader.has(first + 10)
            if is_cut:
                await interrupt(place, reader)
    assert reader.written == numbered(0, 50)


async def test_a_silent_replica_is_not_forgotten_beside_a_loud_one(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(board, "RING_BYTES", 40_000)
    id = await place.release()
    silent, loud = place.engine.start("web", "b", id, 0), place.engine.start("web", "b", id, 1)
    place.engine.write(silent, *numbered(0, 20))
    async with place.reader(tail=0) as early:
        for first in range(1000, 2000, 100):
            place.engine.write(loud, *numbered(first, first + 100))
            await early.has(first - 900)
        async with place.reader(tail=5) as late:
            await late.has(10)
            assert late.written == [*numbered(15, 20), *numbered(1995, 2000)]


async def test_who_comes_back_gets_no_old_lines_of_a_replica_that_was_silent(place: Place) -> None:
    id = await place.release()
    silent, loud = place.engine.start("web", "b", id, 0), place.engine.start("web", "b", id, 1)
    place.engine.write(silent, *numbered(0, 20))
    place.engine.write(loud, *numbered(100, 120))
    async with place.reader(tail=50, since=START + timedelta(milliseconds=20.5)) as first:
        await first.has(20)
    async with place.reader(after=first.id) as again:
        place.engine.write(silent, "new")
        await again.has(1)
    assert (first.written, again.written) == (numbered(100, 120), ["new"])


async def test_who_comes_back_while_docker_is_away_gets_nothing_twice(place: Place, web: Container) -> None:
    place.engine.write(web, *numbered(0, 10))
    async with place.reader() as first:
        await first.has(10)
    await is_forgotten(place)
    place.engine.go_down()
    async with place.reader(after=first.id) as again, place.reader(tail=3) as other:
        for reader in (again, other):
            await reader.is_told("Docker does not answer")
        place.engine.write(web, "new")
        place.engine.come_up()
        for reader, expected in ((again, ["new"]), (other, ["line 8", "line 9", "new"])):
            await reader.has(len(expected))
            assert reader.written == expected
            assert len([line for line in reader.lines if line.is_marker]) == 1


async def test_who_was_away_over_a_switch_gets_the_rest_of_the_old_release(place: Place, web: Container) -> None:
    place.engine.write(web, *numbered(0, 10))
    async with place.reader() as first:
        await first.has(10)
    await is_forgotten(place)
    place.engine.write(web, "old 1", "old 2")
    place.engine.end(web)
    new = place.engine.start("web", "a", 2)
    place.engine.write(new, "new 1")
    await place.release(1)
    async with place.reader(after=first.id) as again:
        await again.has(3)
    assert again.written == ["old 1", "old 2", "new 1"]


async def test_what_nobody_reads_takes_no_memory(place: Place, web: Container) -> None:
    async with place.reader() as reader:
        place.engine.write(web, "x")
        await reader.has(1)
    await is_forgotten(place)


async def test_who_comes_as_a_feed_ends_has_a_new_one(
    place: Place, web: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "LINGER_S", 0.0)
    monkeypatch.setattr(feed, "LOOK_S", 0.001)
    for number in range(100):
        async with place.reader(tail=1) as reader:
            place.engine.write(web, f"{number}")
            await reader.has(1)
            assert reader.trouble is None
        for _ in range(number % 7):
            await asyncio.sleep(0)


async def test_a_log_that_cannot_be_read_is_told_once_and_tried_again(place: Place, web: Container) -> None:
    place.engine.refusal = "32 logs are being read already."
    async with place.reader() as reader:
        await reader.is_told("cannot be read: 32 logs are being read already.")
        looks = place.engine.looks

        async def has_looked() -> bool:
            return place.engine.looks > looks + 5

        await until(has_looked)
        place.engine.refusal = ""
        place.engine.write(web, "x")
        await reader.has(1)
        assert len([line for line in reader.lines if line.is_marker]) == 1


async def test_what_cannot_be_masked_is_not_shown(place: Place) -> None:
    other = Vault("cd" * 32)
    sealed = other.seal("A=canary-1", "environment/web/1")
    await place.store.add_environment("web", 0, lambda: sealed, ["A"], "cli:x")
    web = place.engine.start("web", "b", await place.release())
    place.engine.write(web, "canary-1")
    async with place.reader() as reader:
        await reader.is_told("cannot be read")
    assert reader.written == []


async def interrupt(place: Place, reader: Reader) -> None:
    """Docker is away for a moment."""
    told = len(reader.lines)
    place.engine.go_down()

    async def is_told() -> bool:
        return any(line.is_marker for line in reader.lines[told:])

    await until(is_told)
    place.engine.come_up()


async def is_read(place: Place) -> bool:
    return place.engine.streams > 0


async def is_forgotten(place: Place) -> None:
    async def look() -> bool:
        return not place.logs._feeds and place.engine.streams == 0

    await until(look)


async def _first(batches: AsyncIterator[Batch], count: int) -> AsyncIterator[Batch]:
    for _ in range(count):
        yield await anext(batches)
