"""Images whose labels name no commit: what GitHub is told of them is from the deliveries, whoever deploys them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bot.models import Hold, Kind
from bot.webhooks import PackageEvent
from tests.github.telling import REPOSITORY, Teller, teller

pytestmark = pytest.mark.slow
DONE = ["in_progress", "success"]


@pytest.fixture
async def it(tmp_path: Path) -> AsyncIterator[Teller]:
    async with teller(tmp_path) as it:
        await it.start()
        yield it


async def hears(it: Teller, tag: str, image: str = "ghcr.io/acme/web") -> None:
    """A delivery of an image that says nothing itself."""
    it.commits[tag] = it.api.commit(REPOSITORY)
    pushed = PackageEvent(
        image=image, tag=tag, digest=it.house.registry.found[tag], commit=it.commits[tag], repository=REPOSITORY
    )
    await it.house.services.inbox.receive(
        delivery=f"d{tag}", event="package", body=tag.encode(), package=pushed, ignored=""
    )


async def last_commits(it: Teller) -> list[str]:
    names = {sha: tag for tag, sha in it.commits.items()}
    return [names[sha] for sha, _ in it.api.history(REPOSITORY)]


async def test_a_delivery_that_comes_after_the_poller_still_says_which_commit_serves(it: Teller) -> None:
    it.house.registry.push("0001")
    found = await it.deploy("0001", actor="poller", is_automatic=True)
    assert (found.commit, it.api.deployed) == ("", [])
    await hears(it, "0001")
    await it.shows(("0001", ["success"]))
    assert (await it.house.services.store.deployment(found.id)).commit == it.commits["0001"]


async def test_what_was_held_has_its_commit_when_somebody_deploys_it(it: Teller) -> None:
    it.house.registry.push("0001")
    await it.deploy("0001")
    await it.house.services.store.set_hold("web", Hold(reason="not today", actor="user:admin", since=datetime.now(UTC)))
    it.house.registry.push("0002")
    await hears(it, "0002")
    await it.deploy("0002")
    await it.house.ended((await it.want(Kind.RESTART)).id)
    assert await last_commits(it) == ["0002", "0002"]


async def test_what_another_image_was_built_from_says_nothing_of_this_one(it: Teller) -> None:
    it.house.registry.push("0001")
    await hears(it, "0001", image="ghcr.io/acme/other")
    assert (await it.deploy("0001")).commit == ""
