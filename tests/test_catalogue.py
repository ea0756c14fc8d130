"""The catalogue of GitHub's packages: what it costs, what it keeps, and that nobody waits for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp
import pytest
from pydantic import SecretStr

from bot import catalogue as module
from bot.catalogue import Catalogue
from bot.configuration import read
from bot.errors import GitHubUnavailable
from bot.github import GitHub, TokenLogin
from bot.github.packages import Packages, Version
from bot.store import Store
from bot.store.packages import seen
from lab.github_api import TOKEN, FakeGitHub, Reply, fake_github
from lab.waiting import until
from tests.small_house import open_house

pytestmark = pytest.mark.slow
LISTS = "GET /orgs/acme/packages?package_type=container&per_page=100"


@pytest.fixture
def api() -> Iterator[FakeGitHub]:
    with fake_github() as api:
        yield api


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = await Store.open(tmp_path / "data/o8.sqlite")
    yield store
    await store.close()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def catalogue(api: FakeGitHub, store: Store, session: aiohttp.ClientSession) -> Catalogue:
    return of(api, store, session)


def of(api: FakeGitHub, store: Store, session: aiohttp.ClientSession, *owners: str) -> Catalogue:
    return Catalogue(
        store, Packages(GitHub(session, api.url), TokenLogin(TOKEN), "ghcr.io"), owners or ("acme",), "ghcr.io"
    )


def image(name: str, owner: str = "acme") -> str:
    return f"ghcr.io/{owner}/{name}"


async def images(store: Store) -> list[str]:
    return [entry.removeprefix("ghcr.io/") for entry in await store.listed()]


async def available(store: Store) -> dict[str, str]:
    """Image, without the registry, and tag of what could be installed."""
    return {package.image.removeprefix("ghcr.io/"): package.tag for package in await store.available()}


async def cost(api: FakeGitHub, catalogue: Catalogue) -> int:
    """Of a look at everything."""
    before = api.counted
    await catalogue.refresh()
    return api.counted - before


# What is read


async def test_packages_and_their_tagged_versions_are_read(api: FakeGitHub, store: Store, catalogue: Catalogue) -> None:
    api.publish("acme", "web", "0001", "old")
    api.publish("acme", "web", "0002", "latest", children=3)
    api.repositories["acme", "web"] = "acme/web"
    await catalogue.refresh()
    entry = (await store.listed("Acme"))[image("web")]
    assert (entry.owner, entry.kind, entry.name, entry.repository, entry.versions) == (
        "acme", "orgs", "web", "acme/web", 5,
    )  # fmt: skip
    assert [version.tags for version in await store.listed_versions(image("web"))] == [
        ("0002", "latest"), ("0001", "old"),
    ]  # fmt: skip
    assert await available(store) == {"acme/web": "0002"}
    assert catalogue.looked_at and not catalogue.trouble


async def test_a_user_an_upper_case_owner_and_nested_names_are_read(
    api: FakeGitHub, store: Store, session: aiohttp.ClientSession
) -> None:
    api.users.add("Ada")
    api.publish("Ada", "team/sub/api", "0001")
    await of(api, store, session, "ADA", "ada").refresh()
    assert await available(store) == {"ada/team/sub/api": "0001"}
    assert any("team%2Fsub%2Fapi/versions" in asked for asked in api.asked)
    assert len([asked for asked in api.asked if "/packages?" in asked]) == 1


async def test_without_owners_those_of_the_services_count(
    api: FakeGitHub, store: Store, session: aiohttp.ClientSession
) -> None:
    for owner in ("acme", "initech"):
        api.publish(owner, "web", "0001")
        api.publish(owner, "blog", "0007")
    catalogue = Catalogue(store, Packages(GitHub(session, api.url), TokenLogin(TOKEN), "ghcr.io"), (), "ghcr.io")
    await catalogue.refresh()
    assert (await images(store), api.asked) == ([], [])
    for name, service_image in (("web", image("web")), ("other", "docker.io/initech/web"), ("flat", "ghcr.io/flat")):
        await store.apply(read({"name": name, "image": service_image, "port": 80}), 100)
    await catalogue.refresh()
    assert await images(store) == ["acme/blog", "acme/web"]
    assert await available(store) == {"acme/blog": "0007"}  # web is used
    await store.forget_service("web")
    await catalogue.refresh()
    assert await images(store) == ["acme/blog", "acme/web"]
    assert await available(store) == {"acme/blog": "0007", "acme/web": "0001"}


ITEMS = [
    {"name": "whole", "version_count": 1, "updated_at": "2026-03-01T00:00:00Z"},
    {"name": "bare"},
    {"name": None}, {"name": 7}, {"name": "../../etc"}, {"name": "a b"}, {"name": "x" * 300}, {}, None, "text", [],
    {"name": "odd", "version_count": "many", "updated_at": 5, "repository": "acme/odd", "owner": None},
    {"name": "huge", "version_count": 2**70},
]  # fmt: skip
SIGNATURE = "sha256-" + "b" * 64


def tagged(id: int, *tags: object) -> dict[str, object]:
    return {"id": id, "name": "sha256:" + "a" * 64, "metadata": {"container": {"tags": list(tags)}}}


GOOD = tagged(7, "0001")
VERSIONS = [
    GOOD, GOOD | {"id": 2**63}, GOOD | {"id": "7"}, GOOD | {"name": "sha256:short"}, GOOD | {"metadata": None},
    {}, None, 5, tagged(7, "0001") | {"metadata": {"container": {"tags": "0001"}}}, tagged(10, None, 5, "a b", ""),
    tagged(8, "0000", "-no", SIGNATURE) | {"created_at": "yesterday"}, tagged(9, SIGNATURE + ".sig"),
]  # fmt: skip


async def test_items_that_are_not_as_github_says_are_read_as_far_as_they_go(
    api: FakeGitHub, store: Store, catalogue: Catalogue
) -> None:
    """Of what real answers lack, and what nobody should send."""
    api.publish("acme", "unused", "0001")
    api.replies.extend([None, Reply(200, ITEMS), *[Reply(200, VERSIONS)] * 4])
    await catalogue.refresh()
    assert await images(store) == ["acme/bare", "acme/huge", "acme/odd", "acme/whole"]
    for name in ("bare", "whole"):
        assert [version.tags for version in await store.listed_versions(image(name))] == [("0000",), ("0001",)]


@pytest.mark.parametrize("body", [{}, None, "text", {"message": "ok"}])
async def test_what_is_no_list_makes_o8_forget_nothing(
    api: FakeGitHub, store: Store, catalogue: Catalogue, body: object
) -> None:
    api.publish("acme", "web", "0001")
    await catalogue.refresh()
    api.replies.append(Reply(200, body))
    await catalogue.refresh()
    assert await images(store) == ["acme/web"]
    assert "not the list" in catalogue.trouble


async def test_of_many_versions_the_newest_are_kept(api: FakeGitHub, store: Store, catalogue: Catalogue) -> None:
    """Also where a push for many platforms leaves many without a tag."""
    for number in range(1, 131):
        api.publish("acme", "web", f"{number:04}", children=4)
    await catalogue.refresh()
    found = [version.tags[0] for version in await store.listed_versions(image("web"))]
    assert found == [f"{number:04}" for number in range(130, 30, -1)]
    assert api.counted == 1 + 1 + 5  # who acme is, its list, and 100 tagged of 500 versions
    assert await cost(api, catalogue) == 0


@pytest.mark.parametrize(
    ("versions", "expected"),
    [
        ([["latest"], ["0009"], ["0010"]], "0010"),
        ([["1.10.0", "latest"], ["1.9.0"], ["2.0.0-rc.1"]], "1.10.0"),
        ([["main-abc"], ["main-xyz"]], "main-abc"),
        ([["edge"], ["v1.2.3"]], "v1.2.3"),
        ([], ""),
    ],
)
async def test_the_newest_is_the_highest_number_or_version_or_the_last_push(
    versions: list[list[str]], expected: str
) -> None:
    made = [Version(n, f"sha256:{n:064}", tuple(tags), None) for n, tags in enumerate(versions)]
    tag, digest = module.newest(made)
    assert tag == expected
    assert digest == next((version.digest for version in made if tag in version.tags), "")


# What it costs


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


# What vanishes and what stays


async def test_removed_packages_vanish(api: FakeGitHub, store: Store, catalogue: Catalogue) -> None:
    for name in ("blog", "shop", "web"):
        api.publish("acme", name, "0001")
    await catalogue.refresh()
    del api.packages["acme", "shop"]
    await catalogue.refresh()
    assert await images(store) == ["acme/blog", "acme/web"]
    assert await available(store) == {"acme/blog": "0001", "acme/web": "0001"}
    assert await store.listed_versions(image("shop")) == ()
    api.packages.clear()
    api.users.clear()
    api.publish("acme", "blog", "0001")
    await catalogue.refresh()
    assert await available(store) == {"acme/blog": "0001"}


async def test_a_package_that_comes_back_is_read_again(api: FakeGitHub, store: Store, catalogue: Catalogue) -> None:
    api.publish("acme", "blog", "0001")
    api.publish("acme", "web", "0001")
    await catalogue.refresh()
    kept = api.packages.pop(("acme", "web"))
    await catalogue.refresh()
    api.packages["acme", "web"] = kept
    await catalogue.refresh()
    assert await available(store) == {"acme/blog": "0001", "acme/web": "0001"}


async def test_a_package_that_slips_between_two_pages_stays(
    api: FakeGitHub, store: Store, catalogue: Catalogue
) -> None:
    """One on the first page is removed after that was read: the first of the second page moves there unseen."""
    for number in range(101):
        api.publish("acme", f"p{number:03}", "0001")
    await catalogue.refresh()
    api.changes["acme", "p050"] += 1
    known = Packages.of

    async def of(self: Packages, owner: str, kind: object, page: str = "", etag: str = "") -> object:
        found = await known(self, owner, kind, page, etag)  # type: ignore[arg-type]
        api.packages.pop(("acme", "p000"), None)
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Packages, "of", of)
        await catalogue.refresh()
    assert "acme/p100" in await images(store)
    await catalogue.refresh()
    assert len(await images(store)) == 100


async def test_a_package_that_a_card_offers_is_taken_back_and_offered_again(
    api: FakeGitHub, store: Store, catalogue: Catalogue
) -> None:
    async def push() -> None:
        await store.write(lambda db: seen(db, image("web"), "0001", "sha256:" + "a" * 64))

    await push()
    api.publish("acme", "blog", "0001")
    api.publish("acme", "web", "0001")
    await catalogue.refresh()
    assert (await store.package(image("web"))).state == "offered"
    kept = api.packages.pop(("acme", "web"))
    await catalogue.refresh()
    assert await available(store) == {"acme/blog": "0001"}
    assert (await store.package(image("web"))).state == "removed"
    await push()
    assert (await store.package(image("web"))).state == "offered"
    api.packages["acme", "web"] = kept
    for _ in range(2):
        await catalogue.refresh()
    assert (await store.package(image("web"))).state == "offered"
    api.packages.pop(("acme", "web"))
    await catalogue.refresh()
    api.packages["acme", "web"] = kept
    await catalogue.refresh()
    assert await available(store) == {"acme/blog": "0001", "acme/web": "0001"}


async def test_the_card_of_what_was_installed_stays_when_github_removes_it(
    api: FakeGitHub, store: Store, catalogue: Catalogue
) -> None:
    await store.write(lambda db: seen(db, image("web"), "0001", "sha256:" + "a" * 64))
    await store.apply(read({"name": "web", "image": image("web"), "port": 80}), 100)
    await store.package_installed(image("web"), "web")
    api.publish("acme", "blog", "0001")
    api.publish("acme", "web", "0001")
    await catalogue.refresh()
    (card,) = await store.read(lambda db: db.execute("SELECT wanted FROM cards WHERE kind = 'package'").fetchone())
    api.packages.pop(("acme", "web"))
    await catalogue.refresh()
    await store.forget_service("web")
    assert await available(store) == {"acme/blog": "0001"}
    (after,) = await store.read(lambda db: db.execute("SELECT wanted FROM cards WHERE kind = 'package'").fetchone())
    assert after == card


async def test_an_older_list_does_not_change_what_is_being_installed(
    api: FakeGitHub, store: Store, catalogue: Catalogue
) -> None:
    await store.write(lambda db: seen(db, image("web"), "0002", "sha256:" + "b" * 64, delivery="d-1"))
    api.publish("acme", "web", "0001")
    await catalogue.refresh()
    found = await store.package(image("web"))
    assert (found.state, found.tag) == ("installing", "0002")


async def test_what_was_dismissed_stays_dismissed(api: FakeGitHub, store: Store, catalogue: Catalogue) -> None:
    api.publish("acme", "web", "0001")
    await catalogue.refresh()
    await store.dismiss_package(image("web"))
    api.publish("acme", "web", "0002")
    await catalogue.refresh()
    assert await available(store) == {}
    kept = api.packages.pop(("acme", "web"))
    api.publish("acme", "blog", "0001")
    await catalogue.refresh()
    api.packages["acme", "web"] = kept
    await catalogue.refresh()
    assert await available(store) == {"acme/blog": "0001"}


async def test_without_a_tag_there_is_nothing_to_install(api: FakeGitHub, store: Store, catalogue: Catalogue) -> None:
    api.packages["acme", "web"] = [(), (), ("sha256-" + "a" * 64 + ".sig",)]
    await catalogue.refresh()
    assert (await images(store), await available(store)) == (["acme/web"], {})
    api.publish("acme", "web", "0001")
    await catalogue.refresh()
    assert await available(store) == {"acme/web": "0001"}


async def test_an_owner_that_is_looked_at_no_more_is_forgotten_and_can_come_back(
    api: FakeGitHub, store: Store, session: aiohttp.ClientSession
) -> None:
    for owner in ("acme", "initech"):
        api.publish(owner, "web", "0001")
    await of(api, store, session, "acme", "initech").refresh()
    await of(api, store, session, "acme").refresh()
    assert await images(store) == ["acme/web"]
    await of(api, store, session, "acme", "initech").refresh()
    assert await available(store) == {"acme/web": "0001", "initech/web": "0001"}
    assert len(await store.listed_versions(image("web", "initech"))) == 1


async def test_a_user_who_becomes_an_organization_is_found_again(
    api: FakeGitHub, store: Store, catalogue: Catalogue
) -> None:
    api.users.add("acme")
    api.publish("acme", "web", "0001")
    await catalogue.refresh()
    api.users.clear()
    await catalogue.refresh()
    assert "404" in catalogue.trouble
    await catalogue.refresh()
    assert (catalogue.trouble, (await store.listed())[image("web")].kind) == ("", "orgs")


# Trouble


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


# In the background


@asynccontextmanager
async def running(catalogue: Catalogue) -> AsyncIterator[None]:
    task = asyncio.create_task(catalogue.run())
    yield
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


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
