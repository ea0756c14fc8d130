"""Long lists: who follows the `Link` header sees everything once, in order, also while more is added."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.models import Delivery, Kind, State, Wanted
from bot.permissions import GLOBAL, Action
from handlers.api import ROUTES
from handlers.api.routing import Page
from tests.handlers.visiting import Visitor, add_user, basic
from tests.small_house import House, open_house

pytestmark = pytest.mark.slow

SIZES = [0, 1, 6, 7, 8, 21, 50]
LIMIT = 7


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """With `web` and `shop`; root sees everything, ada only web."""
    async with open_house(tmp_path) as house:
        await house.add("web")
        await house.add("shop")
        await add_user(house, "root", (Action.ADMIN, GLOBAL))
        await add_user(house, "ada", (Action.VIEW_STATUS, "service:web"))
        yield house


async def walk(visitor: Visitor, path: str, name: str = "root") -> list[list[Any]]:
    """All pages from `path` on."""
    pages: list[list[Any]] = []
    url = visitor.url + "/api/v1" + path
    while url:
        async with visitor.client.get(url, headers=basic(name)) as answer:
            assert answer.status == 200, (url, await answer.text())
            pages.append(await answer.json())
            link = answer.headers.get("Link", "")
            found = re.fullmatch(r'<([^<>]+)>; rel="next"', link)
            assert bool(found) is bool(link), link
            url = visitor.url + found[1] if found else ""
        assert len(pages) < 100, "it never ends"
    return pages


async def deploy(house: House, number: int, services: tuple[str, ...] = ("web",)) -> list[int]:
    ids = []
    for n in range(number):
        wanted = Wanted(service=services[n % len(services)], kind=Kind.DEPLOY, actor="cli:root", tag=f"{n:04}")
        ids.append((await house.services.store.want(wanted)).id)
        await house.services.store.finish(ids[-1], State.CANCELLED)
    return ids


def delivery(number: int, at: datetime) -> Delivery:
    return Delivery(
        id=f"d{number}", event="package", action="published", sender="ada", image="ghcr.io/acme/web", tag="0001",
        body_digest=f"{number:064x}", received_at=at, verdict="ignored",
    )  # fmt: skip


def flat(pages: list[list[Any]]) -> list[Any]:
    return [each for page in pages for each in page]


@pytest.mark.parametrize("number", SIZES)
async def test_a_walk_over_deployments_sees_each_once(house: House, visitor: Visitor, number: int) -> None:
    ids = await deploy(house, number)
    pages = await walk(visitor, f"/deployments?limit={LIMIT}")
    assert [each["id"] for each in flat(pages)] == ids[::-1]
    assert all(len(page) == LIMIT for page in pages[:-1])


@pytest.mark.parametrize("number", SIZES)
async def test_a_walk_over_the_audit_sees_each_once(house: House, visitor: Visitor, number: int) -> None:
    for n in range(number):
        await house.services.store.record("cli:root", "a test", f"subject{n % 2}", {"n": n})
    assert [e["detail"]["n"] for e in flat(await walk(visitor, f"/audit?limit={LIMIT}"))] == list(range(number))[::-1]
    found = flat(await walk(visitor, f"/audit?limit={LIMIT}&subject=subject1"))
    assert [entry["detail"]["n"] for entry in found] == [n for n in range(number) if n % 2][::-1]


@pytest.mark.parametrize("number", SIZES)
async def test_a_walk_over_deliveries_sees_each_once_even_of_one_moment(
    house: House, visitor: Visitor, number: int
) -> None:
    begin = datetime.now(UTC)
    for n in range(number):
        await house.services.store.receive(delivery(n, begin + timedelta(seconds=n // 10)), b"", ())
    found = flat(await walk(visitor, f"/deliveries?limit={LIMIT}"))
    assert [each["id"] for each in found] == [f"d{n}" for n in range(number)][::-1]


async def test_who_sees_little_walks_over_that_and_does_not_learn_how_much_there_is(
    house: House, visitor: Visitor
) -> None:
    ids = await deploy(house, 40, ("web", "shop"))
    pages = await walk(visitor, f"/deployments?limit={LIMIT}", "ada")
    assert [each["id"] for each in flat(pages)] == ids[::2][::-1]
    assert [len(page) for page in pages] == [7, 7, 6]


async def test_the_other_questions_travel_with_the_link(house: House, visitor: Visitor) -> None:
    ids = await deploy(house, 40, ("web", "shop"))
    pages = await walk(visitor, f"/deployments?limit={LIMIT}&service=shop")
    assert [each["id"] for each in flat(pages)] == ids[1::2][::-1]
    subject = "a <b>\r\nLink: <x>; ä &=?#%2F"
    for _ in range(3):
        await house.services.store.record("cli:root", "a test", subject, {})
    async with visitor.client.get(
        f"{visitor.url}/api/v1/audit", params={"limit": 2, "subject": subject}, headers=basic("root")
    ) as answer:
        link = answer.headers["Link"]
    assert re.fullmatch(r'</api/v1/audit\?[!-;=?-~]+>; rel="next"', link), link
    assert len(await walk(visitor, link.partition("</api/v1")[2].partition(">")[0])) == 1


async def test_what_is_added_meanwhile_moves_nothing(house: House, visitor: Visitor) -> None:
    ids = await deploy(house, 20)
    first = await visitor.ask("GET", f"/deployments?limit={LIMIT}", basic("root"))
    await deploy(house, 5)
    rest = await walk(visitor, first.headers["Link"].partition("</api/v1")[2].partition(">")[0])
    assert [each["id"] for each in first.body + flat(rest)] == ids[::-1]


async def test_the_deployments_of_a_service_that_was_removed_are_walked_to_their_end(
    house: House, visitor: Visitor
) -> None:
    ids = await deploy(house, 2 * LIMIT)
    await house.services.store.forget_service("web")
    pages = await walk(visitor, f"/deployments?limit={LIMIT}&service=web")
    assert [each["id"] for each in flat(pages)] == ids[::-1]


@pytest.mark.parametrize("query", ["limit=0", "limit=501", "limit=-1", "limit=x", "before=x", "limit=1.5", "limit="])
async def test_a_part_that_makes_no_sense_is_refused(visitor: Visitor, query: str) -> None:
    for path in ("/deployments", "/audit"):
        assert (await visitor.ask("GET", f"{path}?{query}", basic("root"))).status == 400


async def test_every_list_in_pages_is_walked_here() -> None:
    paged = {route.path for route in ROUTES if route.handler.__annotations__.get("return") in (Page, "Page")}
    elsewhere = {"/packages", "/services/{name}/versions"}  # tests/handlers/test_packages.py
    assert paged == {"/deployments", "/audit", "/deliveries"} | elsewhere
