"""What is read of GitHub's packages and versions, and that odd answers spoil nothing."""

from __future__ import annotations

import aiohttp
import pytest

from bot.configuration import read
from bot.github import GitHub, TokenLogin
from bot.github.packages import Packages, Version
from bot.packages import catalogue as module
from bot.packages.catalogue import Catalogue
from bot.store import Store
from lab.github_api import TOKEN, FakeGitHub, Reply
from tests.catalogue.looking import available, cost, image, images, of

pytestmark = pytest.mark.slow


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
