"""Refusals, kills and limits: nothing is lost, and one does not hide another."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

import aiohttp
import pytest

from bot.errors import GitHubUnavailable
from bot.packages.catalogue import Catalogue
from bot.store import Store
from lab.github_api import FakeGitHub, Reply
from lab.waiting import until
from tests.catalogue.looking import available, image, images, of

pytestmark = pytest.mark.slow


async def test_the_refusal_for_one_owner_or_package_does_not_hide_the_others(
    api: FakeGitHub, store: Store, session: aiohttp.ClientSession
) -> None:
    api.publish("acme", "secret", "0001")
    api.publish("acme", "web", "0001")
    api.hidden.add(("acme", "secret"))
    catalogue = of(api, store, session, "gone", "acme")
    await catalogue.refresh()
    assert await available(store) == {"acme/web": "0001"}
    assert "gone: GitHub answered 404" in catalogue.trouble
    before = len(api.asked)
    await catalogue.refresh()
    assert len([asked for asked in api.asked[before:] if "versions" in asked]) == 0


@pytest.mark.parametrize("first", range(7))
async def test_a_kill_anywhere_loses_nothing(
    api: FakeGitHub, store: Store, session: aiohttp.ClientSession, first: int
) -> None:
    """After `first` answers GitHub falls silent and o8 dies; the next one reads what is missing, and no more."""
    for name in ("a", "b", "c"):
        api.publish("acme", name, "0001")
    api.replies.extend([None] * first)
    task = asyncio.create_task(of(api, store, session).refresh())

    async def has_asked() -> bool:
        api.is_frozen = len(api.asked) >= first
        return len(api.asked) > first or task.done()

    await until(has_asked)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    api.is_frozen = False
    await of(api, store, session).refresh()
    assert await available(store) == {"acme/a": "0001", "acme/b": "0001", "acme/c": "0001"}
    assert api.counted <= 5 + 2


async def test_a_used_up_limit_stops_it_and_the_rest_is_read_after_the_reset(
    api: FakeGitHub, store: Store, catalogue: Catalogue
) -> None:
    for number in range(150):
        api.publish("acme", f"p{number:03}", "0001")
    api.remaining, api.resets_at = 60, time.time() + 600
    with pytest.raises(GitHubUnavailable) as caught:
        await catalogue.refresh()
    assert 500 < caught.value.retry_after <= 601
    assert len(await images(store)) == 58
    assert "rate limit" in catalogue.trouble
    api.resets_at = time.time()
    await catalogue.refresh()
    assert len(await available(store)) == 150
    assert api.counted == 60 + 1 + 92 + 1  # the first page again
    assert catalogue.trouble == ""


async def test_a_push_during_a_limit_is_read_afterwards(api: FakeGitHub, store: Store, catalogue: Catalogue) -> None:
    api.publish("acme", "web", "0001")
    await catalogue.refresh()
    api.packages["acme", "web"][0] = ("0001", "stable")  # the list shows no change
    catalogue._is_running = True
    catalogue.look_soon(image("web"))
    api.replies.append(Reply(429, {}))
    with pytest.raises(GitHubUnavailable):
        await catalogue.refresh()
    await catalogue.refresh()
    assert [version.tags for version in await store.listed_versions(image("web"))] == [("0001", "stable")]
