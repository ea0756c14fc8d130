"""What a look costs of GitHub's limit: nothing while nothing changes."""

from __future__ import annotations

import aiohttp
import pytest

from bot.github import GitHub, TokenLogin
from bot.github.packages import Packages
from bot.packages.catalogue import Catalogue
from bot.store import Store
from lab.github_api import FakeGitHub
from tests.catalogue.looking import available, cost, image, images, of

pytestmark = pytest.mark.slow


async def test_an_unchanged_catalogue_costs_nothing(
    api: FakeGitHub, store: Store, session: aiohttp.ClientSession
) -> None:
    """Also that of an owner without packages, of a user, and one that was made by another process."""
    api.users |= {"ada", "nobody"}
    for number in range(250):
        api.publish("acme", f"p{number}", "0001")
    api.publish("ada", "web", "0001")
    first = of(api, store, session, "acme", "ada", "nobody")
    assert await cost(api, first) == 3 + 3 + 250 + 1 + 1 + 1  # kinds, pages of acme with versions, ada's, nobody's
    for catalogue in (first, of(api, store, session, "acme", "ada", "nobody")):
        api.answers.clear()
        assert await cost(api, catalogue) == 0
        assert dict(api.answers) == {304: 5}


async def test_another_token_costs_the_list_once(api: FakeGitHub, store: Store, session: aiohttp.ClientSession) -> None:
    """Etags are of a token; https://github.com/github/docs/issues/34689."""
    for number in range(5):
        api.publish("acme", f"p{number}", "0001")
    await of(api, store, session).refresh()
    api.tokens.add("ghp_another")
    renewed = Catalogue(
        store, Packages(GitHub(session, api.url), TokenLogin("ghp_another"), "ghcr.io"), ("acme",), "ghcr.io"
    )
    assert await cost(api, renewed) == 1
    assert await cost(api, renewed) == 0


async def test_a_push_costs_its_page_and_its_versions(api: FakeGitHub, store: Store, catalogue: Catalogue) -> None:
    for number in range(250):
        api.publish("acme", f"p{number:03}", "0001")
    await catalogue.refresh()
    api.publish("acme", "p120", "0002")
    assert await cost(api, catalogue) == 2
    assert (await available(store))["acme/p120"] == "0002"
    api.publish("acme", "p249", "0002")
    api.publish("acme", "zzz", "0001")
    assert await cost(api, catalogue) == 1 + 2
    assert len(await images(store)) == 251


async def test_a_package_after_a_full_page_is_found(api: FakeGitHub, store: Store, catalogue: Catalogue) -> None:
    """The full page stays the same, and so does its etag."""
    for number in range(100):
        api.publish("acme", f"p{number:03}", "0001")
    await catalogue.refresh()
    assert await cost(api, catalogue) == 0
    api.publish("acme", "zzz", "0001")
    assert await cost(api, catalogue) == 2
    assert "acme/zzz" in await images(store)
    assert await cost(api, catalogue) == 0


async def test_what_was_pushed_is_read_although_the_list_shows_no_change(
    api: FakeGitHub, store: Store, catalogue: Catalogue
) -> None:
    api.publish("acme", "web", "0001")
    api.publish("acme", "blog", "0001")
    await catalogue.refresh()
    api.packages["acme", "web"][0] = ("0001", "stable")  # moved, not pushed
    assert await cost(api, catalogue) == 0
    catalogue._is_running = True
    catalogue.look_soon(image("web"))
    catalogue.look_soon("ghcr.io/initech/unknown")
    assert await cost(api, catalogue) == 1
    assert [version.tags for version in await store.listed_versions(image("web"))] == [("0001", "stable")]
    assert await cost(api, catalogue) == 0


async def test_a_tag_that_was_moved_is_seen_within_a_day(
    api: FakeGitHub, store: Store, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("blog", "shop", "web"):
        api.publish("acme", name, "0001")
    await catalogue.refresh()
    api.packages["acme", "web"][0] = ("0001", "stable")
    await store.write(lambda db: db.execute("UPDATE catalogue SET seen_at = '2026-01-01T00:00:00.000+00:00'"))
    assert await cost(api, catalogue) == 1  # two of the three were asked for nothing
    assert [version.tags for version in await store.listed_versions(image("web"))] == [("0001", "stable")]
    api.asked.clear()
    assert await cost(api, catalogue) == 0
    assert len(api.asked) == 1
