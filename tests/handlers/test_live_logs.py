"""Followed logs over all three ways: what is sent, to whom, and how it ends."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from bot import logs
from bot.logs import board, budget, feed, flows
from bot.permissions import Action
from handlers import application, streams
from lab.waiting import until
from tests.handlers.following import KINDS, StuckReader, following, path
from tests.handlers.visiting import add_user, basic
from tests.small_house import House, open_house

pytestmark = pytest.mark.slow
each_way = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture
async def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    """`web` 0001 is live and has said two lines. Nobody waits long for anything."""
    for module, name, seconds in (
        (feed, "LOOK_S", 0.05),
        (feed, "PAUSE_S", 0.0),
        (feed, "LINGER_S", 0.1),
        (board, "GATHER_S", 0.005),
        (board, "SILENCE_S", 0.05),
    ):
        monkeypatch.setattr(module, name, seconds)
    async with open_house(tmp_path) as house:
        await house.services.worker.start()
        await house.add()
        await house.deployed()
        yield house


def numbered(first: int, last: int) -> list[str]:
    return [f"line {number}" for number in range(first, last)]


def say(house: House, *lines: str) -> None:
    house.engine.say(*(line.encode() for line in lines))


async def nobody_reads(house: House) -> None:
    """Docker's streams are closed."""

    async def look() -> bool:
        return house.engine.open_logs == 0

    await until(look)


async def reading(house: House) -> bool:
    """Docker has one stream."""
    return house.engine.open_logs == 1


@each_way
async def test_the_last_lines_come_first_and_then_what_comes(house: House, kind: str) -> None:
    async with following(house.client, kind, tail=1) as reader:
        await reader.has(1)
        for number in range(0, 300, 100):
            say(house, *numbered(number, number + 100))
            await reader.has(number + 101)
        assert reader.lines == ["second line", *numbered(0, 300)]


@each_way
async def test_only_younger_lines_and_those_with_a_word(house: House, kind: str) -> None:
    house.engine.lines = [b"an Error 1", b"fine", b"another error", b"fine"]
    since = (house.engine.begin + timedelta(milliseconds=0.5)).isoformat()
    async with following(house.client, kind, tail=100, search="ERROR") as reader:
        await reader.has(2)
        say(house, "fine", "error 3")
        await reader.has(3)
        assert reader.lines == ["an Error 1", "another error", "error 3"]
    async with following(house.client, kind, tail=100, since=since, search="error") as reader:
        await reader.has(2)
        assert reader.lines == ["another error", "error 3"]


@each_way
async def test_replicas_have_numbers_where_there_are_several(house: House, kind: str) -> None:
    await house.add(replicas=2)
    await house.deployed(tag="0002")
    house.engine.lines = [b"hello"]
    async with following(house.client, kind) as reader:
        await reader.has(2)
    # Events carry the number beside the text.
    assert sorted(reader.lines) == (["hello"] * 2 if kind == "events" else ["1 | hello", "2 | hello"])


@each_way
async def test_a_log_goes_on_over_a_new_release_and_says_so(house: House, kind: str) -> None:
    async with following(house.client, kind) as reader:
        await reader.has(2)
        await house.deployed(tag="0002")
        await reader.is_told("--- 0002 takes over (deployment 2) ---")


@each_way
async def test_secrets_are_masked(house: House, kind: str) -> None:
    _, answer = await house.ask("PATCH", "/services/web/environment", {"set": {"TOKEN": "canary-value"}})
    await house.ended(answer["deployment"]["id"])
    house.engine.lines = [b"my token is canary-value"]
    async with following(house.client, kind) as reader:
        say(house, "still canary-value.")
        await reader.has(2)
    assert reader.lines == ["my token is ********", "still ********."]


async def test_with_the_id_of_the_last_event_nothing_is_missed_and_nothing_comes_twice(house: House) -> None:
    dice, seen, id, written = random.Random(7), [], "", 2
    for number in range(30):
        how = {"headers": {"Last-Event-ID": id}} if number % 2 else {"after": id}
        async with following(house.client, "events", **(how if id else {})) as reader:
            say(house, *(f"{dice.random()}" for _ in range(dice.randrange(4))))
            if dice.random() < 0.5:
                await reader.has(1 if written < len(house.engine.lines) else 0)
        seen += reader.lines
        id, written = reader.id or id, len(house.engine.lines)
        if dice.random() < 0.3:
            await nobody_reads(house)  # what comes next is another feed
    say(house, "the last one")
    async with following(house.client, "events", after=id) as reader:
        await reader.has(len(house.engine.lines) - len(seen))
    assert [*seen, *reader.lines] == [line.decode().strip() for line in house.engine.lines]


async def test_who_wanted_no_old_lines_gets_none_when_it_comes_back(house: House) -> None:
    async with following(house.client, "events", tail=0) as reader:
        pass
    assert reader.lines == [] and reader.id
    await nobody_reads(house)
    say(house, "while it was away")
    async with following(house.client, "events", tail=0, after=reader.id) as again:
        await again.has(1)
    assert again.lines == ["while it was away"]


async def test_who_comes_back_is_not_told_again_what_o8_said(house: House) -> None:
    async with following(house.client, "events") as first:
        await first.has(2)
        await house.deployed(tag="0002")
        await first.is_told("0002 takes over")
        async with following(house.client, "events", after=first.id) as again:
            say(house, "new")
            await again.has(1)
        assert (again.said, again.lines) == ([], ["new"])


@each_way
async def test_a_reader_that_goes_ends_docker_s_stream_also_when_nothing_is_said(house: House, kind: str) -> None:
    async with following(house.client, kind) as reader:
        await reader.has(2)
        await until(lambda: reading(house))
    await nobody_reads(house)


async def test_many_readers_are_one_stream_of_docker(house: House) -> None:
    async with (
        following(house.client, "text") as one,
        following(house.client, "events") as two,
        following(house.client, "frames") as three,
    ):
        say(house, *numbered(0, 50))
        for reader in (one, two, three):
            await reader.has(52)
        assert house.engine.open_logs == 1


@each_way
async def test_who_never_reads_is_let_go_and_takes_little_memory(
    house: House, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "PATIENCE_S", 0.5)
    stuck = StuckReader(str(house.services.settings.socket), kind)
    largest = 0
    async with following(house.client, "text", tail=0) as quick:
        for number in range(200):
            say(house, *("x" * 1000 for _ in range(100)))  # 20 MB in all
            await quick.has(100 * (number + 1))
            largest = max(largest, *waiting_to_be_sent(house))
    assert 0 < largest < 400_000
    await nobody_reads(house)
    assert not any(waiting_to_be_sent(house))
    assert len(await stuck.rest()) < 5_000_000
    stuck.close()


@each_way
async def test_who_is_too_slow_is_cut_and_told(house: House, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board, "RING_BYTES", 100_000)
    stuck = StuckReader(str(house.services.settings.socket), kind)
    async with following(house.client, "text", tail=0) as quick:
        for number in range(100):
            say(house, *("x" * 1000 for _ in range(100)))
            await quick.has(100 * (number + 1))
    whole = await stuck.rest()
    assert b"comes faster than it is read, so this reader was cut off. Connect again." in whole
    assert len(whole) < 5_000_000
    await nobody_reads(house)
    stuck.close()


@each_way
async def test_o8_ends_at_once_whoever_reads(house: House, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = web.AppRunner(application.private(house.services), shutdown_timeout=60)
    await runner.setup()
    await web.UnixSite(runner, str(house.folder / "other.sock")).start()
    stuck = [StuckReader(str(house.folder / "other.sock"), kind) for _ in range(25)]
    connector = aiohttp.UnixConnector(str(house.folder / "other.sock"), limit=0)
    async with aiohttp.ClientSession(connector=connector) as client:
        readers = [following(client, kind, tail=0) for _ in range(25)]
        read = [await reader.__aenter__() for reader in readers]
        for _ in range(50):
            say(house, *("x" * 1000 for _ in range(100)))
            await asyncio.gather(*(reader.has(1) for reader in read))
        begun = asyncio.get_running_loop().time()
        await house.services.logs.close()
        await runner.cleanup()
        assert asyncio.get_running_loop().time() - begun < 10  # 60 for who waits for readers
        await asyncio.gather(*(reader.ends() for reader in read))
        for each in readers:
            await each.__aexit__(None, None, None)
    for one in stuck:
        one.close()
    assert house.engine.open_logs == 0


async def test_after_the_end_nobody_begins_to_read(house: House) -> None:
    await house.services.logs.close()
    status, problem = await house.ask("GET", "/services/web/logs?follow=1")
    assert (status, problem["detail"]) == (409, "o8 is ending.")
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("log of")]


@each_way
async def test_who_loses_the_right_reads_no_more(house: House, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flows, "LOOK_AGAIN_S", 0.05)
    await add_user(house, "ada", (Action.VIEW_LOGS, "service:web"))
    base = await house.open_to_all()
    async with (
        aiohttp.ClientSession() as client,
        following(client, kind, base=base, headers=basic("ada"), tail=0) as reader,
    ):
        say(house, "before")
        await reader.has(1)
        await house.services.store.revoke("ada", Action.VIEW_LOGS, "service:web")
        await reader.ends()
        say(house, "after")
    assert reader.lines == ["before"]
    assert len(reader.said) == 1


@each_way
async def test_a_service_that_is_removed_ends_its_log_and_says_so(house: House, kind: str) -> None:
    async with following(house.client, kind) as reader:
        await reader.has(2)
        await house.services.store.forget_service("web")
        await reader.ends()
    assert "web" in reader.said[0]


@each_way
@pytest.mark.parametrize(
    ("service", "query", "status"),
    [("idle", {}, 409), ("nobody", {}, 404), ("web", {"tail": -1}, 400), ("web", {"since": "yesterday"}, 400)],
)
async def test_what_cannot_be_followed_is_a_problem_with_its_status(
    house: House, kind: str, service: str, query: dict[str, object], status: int
) -> None:
    await house.add("idle")
    async with house.client.get("http://o8" + path(kind, service, **query)) as answer:
        assert (answer.status, (await answer.json(content_type=None))["status"]) == (status, status)


@pytest.mark.parametrize("path", ["/services/web/logs", "/services/web/logs?follow=1", "/services/web/logs/events",
                                  "/events", "/deployments/1/events"])  # fmt: skip
async def test_a_question_about_the_head_has_no_body_that_the_next_answer_begins_with(house: House, path: str) -> None:
    reader, writer = await asyncio.open_unix_connection(str(house.services.settings.socket))
    writer.write(f"HEAD /api/v1{path} HTTP/1.1\r\nHost: o8\r\n\r\n".encode())
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    assert head.startswith(b"HTTP/1.1 200")
    writer.write(b"GET /api/v1/services/web HTTP/1.1\r\nHost: o8\r\nConnection: close\r\n\r\n")
    rest = await asyncio.wait_for(reader.read(), 10)
    assert rest.startswith(b"HTTP/1.1 200") or not rest, "the next answer, or the end of the connection"
    writer.close()
    await nobody_reads(house)


async def test_a_place_that_is_none_is_refused(house: House) -> None:
    status, problem = await house.ask("GET", "/services/web/logs/events?after=yesterday")
    assert (status, problem["code"]) == (400, "invalid_input")


@each_way
async def test_many_old_lines_come_in_pieces(house: House, kind: str) -> None:
    house.engine.lines = [f"{number:06} {'x' * 100}".encode() for number in range(20_000)]
    async with following(house.client, kind, tail=15_000) as reader:
        await reader.has(15_000)
    assert [int(line[:6]) for line in reader.lines] == list(range(5_000, 20_000))


async def test_slow_readers_of_old_lines_leave_docker_s_streams_to_others(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "WAIT_S", 0.2)
    house.engine.lines = [b"x" * 1000] * 30_000
    stuck = [StuckReader(str(house.services.settings.socket), "text", tail=30_000) for _ in range(2 * budget.STREAMS)]

    async def look() -> bool:
        assert house.engine.open_logs <= budget.STREAMS + 1
        return house.engine.open_logs == budget.STREAMS + 1

    await until(look)
    async with following(house.client, "text", tail=5) as reader:  # has what it wants from the feed
        await reader.has(5)
    status, problem = await house.ask("GET", "/services/web/logs")
    assert (status, problem["detail"]) == (409, "Too many read logs at this moment.")
    for each in stuck:
        each.close()
    await nobody_reads(house)
    async with house.client.get("http://o8/api/v1/services/web/logs?tail=1") as answer:
        assert await answer.text() == "x" * 1000 + "\n"


async def test_who_takes_too_long_for_old_lines_is_told(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "LONGEST_S", -1.0)
    monkeypatch.setattr(feed, "LONGEST_S", -1.0)
    house.engine.lines = [b"x" * 1000] * 30_000
    for query in ("?tail=30000", "?tail=30000&follow=1"):
        async with house.client.get(f"http://o8/api/v1/services/web/logs{query}") as answer:
            assert "so this reader was cut off. Connect again. ---" in (await answer.text()).splitlines()[-1]


def waiting_to_be_sent(house: House) -> list[int]:
    """Bytes in the buffers of each open connection."""
    assert house.door.server
    found = [one.transport for one in house.door.server.connections]
    return [one.get_write_buffer_size() for one in found if one] or [0]
