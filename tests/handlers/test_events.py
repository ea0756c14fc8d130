"""Deployments as server-sent events: no ending is missed, nobody sees more than they may, and streams end in time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import orjson
import pytest

from bot.models import Kind, State, Wanted
from bot.permissions import GLOBAL, Action, Grant
from handlers import streams
from handlers.api import events
from tests.handlers.visiting import API, PASSWORD, Visitor, add_user, basic, bearer, session
from tests.small_house import House, open_house
from tests.store.ledger import Ledger

pytestmark = pytest.mark.slow

WEB = "service:web"


class Event(NamedTuple):
    name: str
    id: str
    data: Any


class Reader:
    """Reads a stream as a browser does; https://html.spec.whatwg.org/multipage/server-sent-events.html."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self.answer = answer
        self.comments = 0
        self.last_id = ""

    async def next(self, within_s: float = 20) -> Event | None:
        """The next event; None when the stream has ended."""
        fields: dict[str, str] = {}
        async with asyncio.timeout(within_s):
            while True:
                try:
                    line = (await self.answer.content.readline()).decode()
                except aiohttp.ClientError:
                    return None
                if not line:
                    return None
                if line == "\n" and "data" in fields:
                    self.last_id = fields.get("id", self.last_id)
                    return Event(fields.get("event", "message"), self.last_id, orjson.loads(fields["data"]))
                if line.startswith(":"):
                    self.comments += 1
                elif line != "\n":
                    name, _, value = line.rstrip("\n").partition(": ")
                    fields[name] = value

    async def until_ended(self, within_s: float = 20) -> list[Event]:
        """Everything up to the end of the stream."""
        found = []
        async with asyncio.timeout(within_s):
            while event := await self.next():
                found.append(event)
        return found

    async def until_state(self, id: int, state: str) -> list[Event]:
        """Everything up to the event that says so of deployment `id`."""
        found = []
        while event := await self.next():
            found.append(event)
            if event.name == "deployment" and (event.data["id"], event.data["state"]) == (id, state):
                return found
        raise AssertionError(f"the stream ended after {found}")

    async def place(self) -> str:
        """The next one told."""
        while event := await self.next():
            if event.name == "place":
                return event.id
        raise AssertionError("the stream ended")


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """With `web` and `shop`; root sees everything, ada only web."""
    async with open_house(tmp_path) as house:
        await house.add("web")
        await house.add("shop")
        await add_user(house, "root", (Action.ADMIN, GLOBAL))
        await add_user(house, "ada", (Action.VIEW_STATUS, WEB))
        yield house


@asynccontextmanager
async def reading(
    visitor: Visitor, headers: Mapping[str, str], path: str = "/events", last_id: str = ""
) -> AsyncIterator[Reader]:
    more = {"Last-Event-ID": last_id} if last_id else {}
    async with visitor.client.get(visitor.url + API + path, headers={**headers, **more}) as answer:
        assert (answer.status, answer.content_type) == (200, "text/event-stream")
        assert answer.headers["Cache-Control"] == "no-store"
        yield Reader(answer)


async def want(house: House, service: str = "web", **more: Any) -> int:
    wanted = Wanted(service=service, kind=Kind.DEPLOY, actor="cli:root", tag="0001", **more)
    return (await house.services.store.want(wanted)).id


async def finish(house: House, id: int, state: State = State.CANCELLED) -> None:
    await house.services.store.finish(id, state)


# -- what is told


async def test_first_comes_what_has_not_ended_then_each_change(house: House, visitor: Visitor) -> None:
    over, waits = await want(house), await want(house, "shop")
    await finish(house, over)
    async with reading(visitor, basic("root")) as reader:
        first = await reader.next()
        assert first and (first.name, first.data["id"], first.data["state"]) == ("deployment", waits, "queued")
        await reader.place()
        await finish(house, waits)
        found = await reader.until_state(waits, "cancelled")
        assert over not in [event.data.get("id") for event in found]
        assert int(found[-1].id) > int(first.id)


async def test_a_deployment_is_told_from_its_wish_to_its_end(house: House, visitor: Visitor) -> None:
    await house.services.worker.start()
    async with reading(visitor, basic("root")) as reader:
        await reader.place()
        release = await house.deployed("web")
        found = await reader.until_state(release.id, "succeeded")
    ids = [int(event.id) for event in found]
    assert ids == sorted(ids)
    assert found[-1].data["has_ended"] is True and found[-1].data["release"] == "0001"


async def test_no_ending_is_missed_by_who_comes_back_with_the_last_id(house: House, visitor: Visitor) -> None:
    """Cut at any moment, for any time: each of 30 deployments is told with its ending, over many short connections."""
    ended: dict[int, str] = {}
    last_id, wanted = "", []

    async def deploy_all() -> None:
        ledger = Ledger(house.services.store)
        for n in range(30):
            service = "web" if n % 2 else "shop"
            id = await want(house, service)
            wanted.append(id)
            if n % 3 == 0:
                await ledger.claim(service)
            await finish(house, id, State.FAILED if n % 5 == 0 else State.CANCELLED)
            await asyncio.sleep(0)

    async with reading(visitor, basic("root")) as reader:
        last_id = await reader.place()
    work = asyncio.create_task(deploy_all())
    async with asyncio.timeout(60):
        while len(ended) < 30:
            async with reading(visitor, basic("root"), last_id=last_id) as reader:
                for _ in range(3):
                    event = await reader.next()
                    assert event
                    if event.name == "deployment" and event.data["has_ended"]:
                        ended[event.data["id"]] = event.data["state"]
                    if len(ended) == 30:
                        break
                last_id = reader.last_id
    await work
    assert sorted(ended) == wanted
    assert [ended[id] for id in wanted] == ["failed" if n % 5 == 0 else "cancelled" for n in range(30)]


async def test_more_than_a_hundred_that_were_missed_all_come(house: House, visitor: Visitor) -> None:
    ids = []
    for _ in range(130):
        ids.append(await want(house))
        await finish(house, ids[-1])
    async with reading(visitor, basic("root"), "/events?after=0") as reader:
        found: list[Event] = []
        while not found or found[-1].data.get("id") != ids[-1]:
            event = await reader.next()
            assert event
            found.append(event)
    assert [event.data["id"] for event in found if event.name == "deployment"] == ids


@pytest.mark.parametrize("place", ["x", "-1", "1.5", "٣", "9" * 19, "9" * 5000, "", "0x1", "null"])
async def test_a_place_that_is_none_begins_anew(house: House, visitor: Visitor, place: str) -> None:
    """So does one that is yet to come: of a database that was put back since. Else nothing would be told for long."""
    id = await want(house)
    for path, name in (("/events", "deployment"), (f"/deployments/{id}/events", "deployment")):
        async with reading(visitor, basic("root"), path, last_id=place) as reader:
            first = await reader.next()
            assert first and (first.name, first.data["id"]) == (name, id)


@pytest.mark.parametrize("query", ["after=-1", "after=x", "after=99999999999999999999", "before=1", "service=a&x=1"])
async def test_a_question_that_makes_no_sense_is_refused(house: House, visitor: Visitor, query: str) -> None:
    assert (await visitor.ask("GET", f"/events?{query}", basic("root"))).status == 400


# -- what one may see


async def test_one_hears_of_what_one_may_see_only(house: House, visitor: Visitor) -> None:
    hidden = await want(house, "shop")
    async with reading(visitor, basic("ada")) as reader:
        place = await reader.place()
        await finish(house, hidden)
        again = await reader.place()
        assert int(again) > int(place), "the place is told, so that who comes back is not told anew"
        id = await want(house)
        found = await reader.until_state(id, "queued")
        assert {event.data["service"] for event in found if event.name == "deployment"} == {"web"}
    assert (await visitor.ask("GET", f"/deployments/{hidden}/events", basic("ada"))).status == 404


async def test_of_one_service_only_its_own_are_told(house: House, visitor: Visitor) -> None:
    await want(house, "shop")
    async with reading(visitor, basic("root"), "/events?service=web") as reader:
        await reader.place()
        id = await want(house)
        await finish(house, id)
        found = await reader.until_state(id, "cancelled")
        assert {event.data["service"] for event in found if event.name == "deployment"} == {"web"}


async def test_what_was_revoked_while_connected_is_not_told_any_more(house: House, visitor: Visitor) -> None:
    await house.services.store.grant("ada", Action.VIEW_STATUS, "service:shop", "o8")
    async with reading(visitor, basic("ada")) as reader:
        await reader.place()
        await house.services.store.revoke("ada", Action.VIEW_STATUS, WEB)
        await want(house, "web")
        seen = await want(house, "shop")
        found = await reader.until_state(seen, "queued")
        assert {event.data["service"] for event in found if event.name == "deployment"} == {"shop"}


async def test_the_stream_of_a_deployment_ends_when_it_may_not_be_seen_any_more(house: House, visitor: Visitor) -> None:
    id = await want(house)
    async with reading(visitor, basic("ada"), f"/deployments/{id}/events") as reader:
        assert await reader.next()
        await house.services.store.revoke("ada", Action.VIEW_STATUS, WEB)
        await finish(house, id)
        assert await reader.until_ended() == []


@pytest.mark.parametrize("path", ["/events", "/deployments/1/events", "/services/web/logs/events"])
@pytest.mark.parametrize("way", ["session", "password", "token", "limited token", "removed"])
async def test_a_login_that_is_over_ends_its_streams(
    house: House, visitor: Visitor, way: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else who was logged out, everywhere, would read on for days."""
    monkeypatch.setattr(streams, "LOOK_AGAIN_S", 0.05)
    await house.services.store.grant("ada", Action.VIEW_LOGS, WEB, "o8")
    await house.services.worker.start()
    await house.deployed("web")
    await want(house, needs_approval=True)
    path = path.replace("1", "2")
    store = house.services.store
    headers = basic("ada")
    if way == "session":
        headers = (await session(house, "ada"))[0]
    elif way == "token":
        headers = bearer((await store.add_token("ada", "x", None, None))[1])
    elif way == "limited token":
        limits = (Grant(action=Action.VIEW_LOGS, scope=WEB),)
        headers = bearer((await store.add_token("ada", "x", limits, None))[1])
    async with reading(visitor, headers, path) as reader:
        assert await reader.next()
        if way in ("session", "password"):
            await house.services.logins.set_password("ada", f"{PASSWORD} 2")
        elif way == "removed":
            await store.remove_user("ada")
        else:
            await store.remove_token(1)
        await reader.until_ended()
    assert await visitor.status(basic("root")) == 200


@pytest.mark.parametrize("path", ["/api/v1/services/web/logs/ws", "/services/web/logs/ws"])
async def test_a_login_that_is_over_ends_its_sockets(
    house: House, visitor: Visitor, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "LOOK_AGAIN_S", 0.05)
    await house.services.store.grant("ada", Action.VIEW_LOGS, WEB, "o8")
    await house.services.worker.start()
    await house.deployed("web")
    reads, _ = await session(house, "ada")
    async with visitor.client.ws_connect(visitor.url + path, headers=reads) as socket, asyncio.timeout(20):
        assert (await socket.receive()).type is aiohttp.WSMsgType.TEXT
        await house.services.store.close_sessions("ada")
        async for _ in socket:
            pass
    assert await visitor.status(reads) == 401


async def test_a_login_that_lasts_keeps_its_streams(
    house: House, visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "LOOK_AGAIN_S", 0.01)
    for headers in (basic("ada"), (await session(house, "ada"))[0]):
        async with reading(visitor, headers) as reader:
            for _ in range(10):
                await asyncio.sleep(0.02)
                await finish(house, await want(house))
                assert await reader.next()


# -- the stream of one deployment, and ends


async def test_the_stream_of_a_deployment_shows_its_steps_and_ends_with_it(house: House, visitor: Visitor) -> None:
    await house.services.worker.start()
    house.engine.may_pull.clear()
    house.registry.push("0001")
    id = (await visitor.ask("POST", "/services/web/deployments", basic("root"), {"release": "0001"})).body["id"]
    async with reading(visitor, basic("root"), f"/deployments/{id}/events") as reader:
        while (event := await reader.next()) and not (event.data["progress"] or {}).get("bytes_done"):
            pass
        assert event and event.data["progress"] == {"bytes_done": 5_000_000, "bytes_known": 40_000_000}
        house.engine.may_pull.set()
        found = await reader.until_ended()
    assert (found[-1].data["state"], found[-1].data["has_ended"]) == ("succeeded", True)
    states = [step["state"] for step in found[-1].data["steps"]]
    assert states[:3] == ["resolving", "pulling", "starting"]


async def test_the_stream_of_a_deployment_that_has_ended_tells_that_and_ends(house: House, visitor: Visitor) -> None:
    id = await want(house)
    await finish(house, id)
    async with reading(visitor, basic("root"), f"/deployments/{id}/events") as reader:
        (event,) = await reader.until_ended()
        assert event.data["state"] == "cancelled"
    async with reading(visitor, basic("root"), f"/deployments/{id}/events", last_id=event.id) as reader:
        assert await reader.until_ended() == [], "they have it already"


async def test_what_one_may_not_read_is_not_in_it(house: House, visitor: Visitor) -> None:
    id = await want(house)
    async with reading(visitor, basic("ada"), f"/deployments/{id}/events") as reader:
        event = await reader.next()
        assert event and (event.data["configuration"], event.data["log"]) == (None, "")
    async with reading(visitor, basic("root"), f"/deployments/{id}/events") as reader:
        event = await reader.next()
        assert event and event.data["configuration"]["name"] == "web"


async def test_silence_is_filled_with_heartbeats(
    house: House, visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "HEARTBEAT_S", 0.05)
    id = await want(house)
    for path in ("/events", f"/deployments/{id}/events"):
        async with reading(visitor, basic("root"), path) as reader:
            await reader.next()
            with pytest.raises(TimeoutError):
                while reader.comments < 5:
                    await reader.next(0.5)
            assert reader.comments >= 5


async def test_streams_end_with_o8(house: House, visitor: Visitor) -> None:
    id = await want(house)
    paths = ("/events", f"/deployments/{id}/events")
    async with reading(visitor, basic("root"), paths[0]) as one, reading(visitor, basic("root"), paths[1]) as two:
        assert await one.next() and await two.next()
        async with asyncio.timeout(20):
            await house.doors[0].cleanup()
        await one.until_ended()
        await two.until_ended()


async def test_readers_that_go_are_forgotten(house: House, visitor: Visitor) -> None:
    before = len(asyncio.all_tasks())
    for _ in range(20):
        async with reading(visitor, basic("root")) as reader:
            await reader.place()
    await finish(house, await want(house))
    async with asyncio.timeout(20):
        while len(asyncio.all_tasks()) > before + 3:
            await finish(house, await want(house))
            await asyncio.sleep(0.05)
