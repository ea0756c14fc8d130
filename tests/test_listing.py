"""Where lists of images come from, how old they are, what they say when there is nothing, and that nobody waits."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bot.errors import GitHubRefused, InvalidInput, NotFound
from bot.models import Hold
from bot.packages.listing import UNDER_WAY, Versions
from bot.store.packages import seen
from lab.github_api import TOKEN, fake_github
from tests.small_house import House, open_house
from tests.stock import NOON, digest_of, listed, many

pytestmark = pytest.mark.slow
WEB = "ghcr.io/acme/web"


def marks(found: Versions) -> dict[str, str]:
    return {each.name: " ".join(each.marks) for each in found.versions}


async def pushed(house: House, image: str, tag: str = "0001") -> None:
    """A webhook told of it."""
    await house.services.store.write(lambda db: seen(db, image, tag, digest_of(image, tag)))


async def test_versions_are_githubs_where_it_lists_the_image(tmp_path: Path) -> None:
    async with open_house(tmp_path, github_pat="x") as house:
        await house.services.worker.start()
        await house.add()
        live = await house.deployed("web", "0002")
        await listed(house, WEB, ("0001",), ("0002",), ("0003", "latest"), digests={"0002": live.digest})
        house.services.catalogue.looked_at = datetime.now(UTC) - timedelta(minutes=3)
        house.services.catalogue.seen_owners = ("acme",)
        found = await house.services.listing.versions("web")
        assert (found.source, found.image, found.note) == ("github", WEB, "GitHub's list was read 3 min ago.")
        assert marks(found) == {"0003": "newest newer", "0002": "runs kept here", "0001": ""}
        newest, second, _ = found.versions
        assert (newest.tags, newest.digest, newest.pushed_at) == (("0003", "latest"), digest_of(WEB, "0003"), NOON)
        assert (newest.bytes, second.bytes, second.digest) == (None, 40_000_000, live.digest)


async def test_what_was_just_pushed_and_deployed_is_there_before_github_lists_it(tmp_path: Path) -> None:
    async with open_house(tmp_path, github_pat="x") as house:
        await house.services.worker.start()
        await house.add()
        await listed(house, WEB, ("0001",), ("0002",))
        live = await house.deployed("web", "0003")
        newest = house.registry.push("0004")
        await house.services.store.set_hold("web", Hold(reason="a fair", actor="o8", since=datetime.now(UTC)))
        await house.services.follower.look("web", actor="poller")
        found = await house.services.listing.versions("web")
        assert marks(found) == {"0004": "newest newer", "0003": "runs kept here", "0002": "", "0001": ""}
        assert [each.digest for each in found.versions[:2]] == [newest, live.digest]
        assert found.note == (
            "o8 is looking at GitHub now, for the first time since it was started. What is shown was read 0 s ago."
        )


@pytest.mark.parametrize(("owners", "token", "looked", "why"), [
    ("", "", False, "GitHub's packages are not listed: set `GITHUB_PAT`, a classic token with `read:packages`."),
    ("", "x", False, "o8 is looking at GitHub now, for the first time since it was started."),
    ("", "x", True, "GitHub lists no ghcr.io/acme/web."),
    ("other", "x", True, "`GITHUB_OWNERS` does not name acme."),
    ("", "x", ("other",), "The next look at GitHub is also at acme."),
])  # fmt: skip
async def test_versions_are_the_registrys_where_github_lists_no_such_image(
    tmp_path: Path, owners: str, token: str, looked: bool | tuple[str, ...], why: str
) -> None:
    async with open_house(tmp_path, github_pat=token, github_owners=owners) as house:
        await house.services.worker.start()
        await house.add()
        live = await house.deployed("web", "0001")
        for tag in ("0002", "main", "sha256-" + "ab" * 32 + ".sig"):
            house.registry.push(tag)
        if looked:
            house.services.catalogue.looked_at = datetime.now(UTC)
            house.services.catalogue.seen_owners = looked if isinstance(looked, tuple) else (owners or "acme",)
        found = await house.services.listing.versions("web")
        assert found.source == "registry" and found.looked_at is not None
        assert found.note == f"These are the registry's tags; it does not say when they were pushed. {why}"
        assert marks(found) == {"0002": "newest newer", "0001": "runs kept here", "main": ""}
        assert [each.digest for each in found.versions] == ["", live.digest, ""]


async def test_versions_are_the_registrys_where_github_shows_none_of_a_package(tmp_path: Path) -> None:
    async with open_house(tmp_path, github_pat="x") as house:
        await house.add()
        await listed(house, WEB, ("0001",))
        await house.services.store.write(lambda db: db.execute("DELETE FROM catalogue_versions"))
        house.services.catalogue.looked_at = datetime.now(UTC)
        house.registry.push("0002")
        found = await house.services.listing.versions("web")
        assert (found.source, marks(found)) == ("registry", {"0002": "newest newer"})
        assert found.note.endswith("GitHub shows this token no version of it that has a tag.")


async def test_of_an_image_elsewhere_nothing_is_said_about_github(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        await house.add("web", image="registry.example.org/acme/web")
        house.registry.push("0001")
        found = await house.services.listing.versions("web")
        assert found.note == "These are the registry's tags; it does not say when they were pushed."


async def test_nobody_waits_for_a_registry_or_a_docker_that_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: object) -> None:
        await asyncio.Event().wait()

    async with open_house(tmp_path, github_pat="x") as house:
        await house.services.worker.start()
        await house.add()
        await house.deployed("web", "0001")
        monkeypatch.setattr(house.registry, "tags", never)
        monkeypatch.setattr(house.engine, "image_size", never)
        begun = time.monotonic()
        found = await house.services.listing.versions("web")
        assert time.monotonic() - begun < 10
        assert found.note.startswith("The registry does not answer at once; ask again in a moment.")
        assert found.note.endswith("Docker does not answer: what is here is not known.")
        assert marks(found) == {"0001": "runs newest"}, "what o8 itself knows"
        await listed(house, WEB, ("0001",), ("0002",))
        assert list(marks(await house.services.listing.versions("web")))[:2] == ["0002", "0001"]


async def test_nobody_waits_for_github(tmp_path: Path) -> None:
    """GitHub takes a request and never answers: lists come from what was read before, and say so."""
    is_asked = asyncio.Event()

    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        is_asked.set()
        await reader.read()
        writer.close()

    async with await asyncio.start_server(never, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with open_house(tmp_path, github_pat="x", github_owners="acme", github_api_url=url) as house:
            await house.add()
            for name in ("web", "blog"):
                await listed(house, f"ghcr.io/acme/{name}", ("0001",))
            look = asyncio.create_task(house.services.catalogue.run())
            async with asyncio.timeout(20):
                await is_asked.wait()
                versions = await house.services.listing.versions("web")
                available = await house.services.listing.available()
            assert not look.done()
            look.cancel()
            await asyncio.gather(look, return_exceptions=True)
    assert (versions.source, list(marks(versions))) == ("github", ["0001"])
    assert [package.image for package in available.packages] == ["ghcr.io/acme/blog"]
    assert available.note == versions.note.partition(" What")[0] == UNDER_WAY


async def test_what_github_told_is_shown_and_why_a_look_failed_is_said(tmp_path: Path) -> None:
    with fake_github() as github:
        for name in ("web", "blog"):
            github.publish("acme", name, "0001")
        github.publish("acme", "web", "0002", "latest", children=2)
        async with open_house(tmp_path, github_pat=TOKEN, github_owners="acme", github_api_url=github.url) as house:
            await house.add()
            await house.services.catalogue.refresh()
            assert marks(await house.services.listing.versions("web")) == {"0002": "newest newer", "0001": "newer"}
            found = await house.services.listing.available()
            assert [package.image for package in found.packages] == ["ghcr.io/acme/blog"]
            assert found.note == "GitHub's list was read 0 s ago." and found.trouble == ""
            github.tokens.clear()
            with suppress(GitHubRefused):
                await house.services.catalogue.refresh()
            again = await house.services.listing.available()
            versions = await house.services.listing.versions("web")
    assert again.packages == found.packages and again.trouble
    assert again.note.startswith(f"The last look at GitHub failed: {again.trouble} What is shown was read ")
    # Who sees one service need not know what else there is.
    assert versions.note.startswith("The last look at GitHub failed; `o8 available` says why. What is shown was read ")


async def test_without_any_owner_it_is_said_how_to_name_one(tmp_path: Path) -> None:
    async with open_house(tmp_path, github_pat="x") as house:
        await house.services.catalogue.refresh()
        assert (await house.services.listing.available()).note == (
            "o8 does not know whose packages to list: set `GITHUB_OWNERS`, such as `acme`."
        )


async def test_available_is_what_no_service_uses_and_nobody_dismissed(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        await house.add()
        for name in ("web", "blog", "wiki", "shop"):
            await listed(house, f"ghcr.io/acme/{name}", ("0001",), ("0002",), repository=f"acme/{name}")
        await pushed(house, "ghcr.io/other/press")
        await pushed(house, "ghcr.io/acme/shop", "0003")
        await house.services.store.dismiss_package("ghcr.io/acme/wiki")
        found = {package.image: package for package in (await house.services.listing.available()).packages}
        assert list(found)[2:] == ["ghcr.io/acme/blog"], "the newest push first"
        blog, shop, press = (found[f"ghcr.io/{name}"] for name in ("acme/blog", "acme/shop", "other/press"))
        assert (blog.tag, blog.digest, blog.repository) == ("0002", digest_of(blog.image, "0002"), "acme/blog")
        assert blog.pushed_at == NOON
        assert (shop.tag, shop.repository, press.repository) == ("0003", "acme/shop", "")
        assert shop.pushed_at and press.pushed_at and press.pushed_at >= shop.pushed_at - timedelta(seconds=5)
        await house.services.store.forget_service("web")
        assert "ghcr.io/acme/web" in {p.image for p in (await house.services.listing.available()).packages}


async def test_a_package_whose_times_make_no_sense_is_there_all_the_same(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        await many(house, 2)
        await house.services.store.write(
            lambda db: db.executescript(
                "UPDATE catalogue SET updated_at = 'the day after'; UPDATE catalogue_versions SET created_at = NULL"
            )
        )
        found = (await house.services.listing.available()).packages
        assert [package.pushed_at for package in found] == [None, None]


@pytest.mark.parametrize("limit", [1, 7, 200, 500])
async def test_pages_have_each_package_once_also_while_more_are_pushed(tmp_path: Path, limit: int) -> None:
    async with open_house(tmp_path) as house:
        images = await many(house, 200)
        walked: list[str] = []
        before = ""
        while True:
            part, before = (await house.services.listing.available()).page(limit, before)
            walked += [package.image for package in part]
            if not before:
                break
            if len(walked) == limit:
                await pushed(house, "ghcr.io/acme/new")
        assert walked == images
        with pytest.raises(InvalidInput, match="not where a page ends"):
            (await house.services.listing.available()).page(1, "x")


async def test_pages_of_versions_end_where_they_end(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        await house.add()
        await listed(house, WEB, *((f"{number:04}",) for number in range(1, 51)))
        found = await house.services.listing.versions("web")
        assert found.page(50)[1] == "" and found.page(49)[1] == "0002"
        first, before = found.page(20)
        second, before = found.page(20, before)
        third, end = found.page(20, before)
        assert [v.tag for v in (*first, *second, *third)] == [f"{number:04}" for number in range(50, 0, -1)]
        assert end == ""
        with pytest.raises(NotFound, match="has no version '9999' any more"):
            found.page(1, "9999")
