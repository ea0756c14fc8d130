"""In the background: when it looks, and that nobody waits for it."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from pydantic import SecretStr

from bot.packages import catalogue as module
from bot.packages.catalogue import Catalogue
from bot.store import Store
from lab.github_api import TOKEN, FakeGitHub, Reply
from lab.waiting import until
from tests.catalogue.looking import available, image, running
from tests.small_house import open_house

pytestmark = pytest.mark.slow


async def test_it_looks_at_start_and_soon_after_a_push(
    api: FakeGitHub, store: Store, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FOLLOWS_S", 0.05)
    monkeypatch.setattr(module, "SOONEST_S", 0.05)
    catalogue.look_soon(image("web"))  # nobody looks yet: not kept
    assert not catalogue._pushed
    api.publish("acme", "web", "0001")

    async def is_newest(tag: str) -> bool:
        return (await available(store)).get("acme/web") == tag

    async with running(catalogue):
        await until(lambda: is_newest("0001"))
        api.publish("acme", "web", "0002")
        catalogue.look_soon(image("web"))
        await until(lambda: is_newest("0002"))


async def test_many_pushes_are_one_look(
    api: FakeGitHub, store: Store, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FOLLOWS_S", 0.05)
    monkeypatch.setattr(module, "SOONEST_S", 0.5)
    api.publish("acme", "web", "0001")

    async def looks(number: int) -> bool:
        return sum("/packages?" in asked for asked in api.asked) >= number

    async with running(catalogue):
        await until(lambda: looks(1))
        begin = time.monotonic()
        for _ in range(100):
            catalogue.look_soon(image("web"))
            await asyncio.sleep(0)
        await until(lambda: looks(2))
        assert time.monotonic() - begin > 0.3
    assert not await looks(3)


async def test_it_keeps_to_the_secondary_limit(
    api: FakeGitHub, store: Store, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which GitHub has for those who ask too fast: a pause as long as it says, then on where it stopped."""
    monkeypatch.setattr(module, "SOONEST_S", 0.05)
    for number in range(60):
        api.publish("acme", f"p{number:02}", "0001")
    api.burst = 25

    async def is_whole() -> bool:
        return len(await available(store)) == 60

    async with running(catalogue):
        await until(is_whole, 30)
    assert api.answers[403] <= 4
    assert api.counted <= 1 + 60 + 4


async def test_nobody_who_looks_waits_for_github(api: FakeGitHub, tmp_path: Path) -> None:
    """GitHub takes requests and never answers; what was read before is shown."""
    settings = {"github_api_url": api.url, "github_pat": SecretStr(TOKEN), "github_owners": "acme"}
    for name in ("blog", "web"):
        api.publish("acme", name, "0001")
        api.publish("acme", name, "0002")
    async with open_house(tmp_path / "house", **settings) as house:
        await house.add("web")
        await house.services.catalogue.refresh()
        api.is_frozen = True
        asked = len(api.asked)

        async def is_waiting() -> bool:
            return len(api.asked) > asked

        async with running(house.services.catalogue):
            await until(is_waiting)
            async with asyncio.timeout(5):
                _, packages = await house.ask("GET", "/packages")
                _, versions = await house.ask("GET", "/services/web/versions")
        api.is_frozen = False
    assert [(each["image"], each["tag"]) for each in packages["packages"]] == [(image("blog"), "0002")]
    assert (versions["source"], [each["tag"] for each in versions["versions"]]) == ("github", ["0002", "0001"])


async def test_versions_that_github_does_not_show_are_those_of_the_registry(api: FakeGitHub, tmp_path: Path) -> None:
    settings = {"github_api_url": api.url, "github_pat": SecretStr(TOKEN), "github_owners": "acme"}
    api.publish("acme", "web", "0001")
    api.hidden.add(("acme", "web"))
    async with open_house(tmp_path / "house", **settings) as house:
        await house.add("web")
        house.registry.push("0001")
        await house.services.catalogue.refresh()
        _, versions = await house.ask("GET", "/services/web/versions")
    assert (versions["source"], [each["tag"] for each in versions["versions"]]) == ("registry", ["0001"])


async def test_it_waits_as_long_as_github_wants_and_goes_on(
    api: FakeGitHub, store: Store, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SOONEST_S", 0.05)
    api.publish("acme", "web", "0001")
    api.replies.append(Reply(429, {}, {"Retry-After": "1"}))

    async def is_there() -> bool:
        return bool(await available(store))

    async with running(catalogue):
        await until(lambda: asyncio.sleep(0, bool(catalogue.trouble)))
        begin, asked = time.monotonic(), len(api.asked)
        catalogue.look_soon(image("web"))  # changes nothing: GitHub does not want to be asked
        await until(is_there)
        assert time.monotonic() - begin > 0.7
        assert asked == 1
