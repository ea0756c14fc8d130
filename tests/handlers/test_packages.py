"""`/packages` and `/services/{name}/versions`: pages, rights, hostile questions; the same in the original's list."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

import pytest

from bot.permissions import GLOBAL, Action
from tests.handlers.visiting import Visitor, add_user, basic
from tests.small_house import House
from tests.stock import NOON, digest_of, listed, many

pytestmark = pytest.mark.slow
ROOT = basic("root")
WEB = "ghcr.io/acme/web"


async def walk(visitor: Visitor, path: str, key: str) -> list[Any]:
    """Everything, page after page, by the `Link`; `next` says the same."""
    found: list[Any] = []
    while path:
        answer = await visitor.ask("GET", path, ROOT)
        assert answer.status == 200, answer
        found += answer.body[key]
        link = re.fullmatch(r'</api/v1([^<>]+)>; rel="next"', answer.headers.get("Link", "none"))
        assert bool(link) is bool(answer.body["next"])
        path = link[1] if link else ""
        assert len(found) <= answer.body["total"]
    return found


async def test_what_could_be_installed(house: House, visitor: Visitor) -> None:
    await listed(house, "ghcr.io/acme/blog/api", ("0001",), ("0002", "latest"), repository="acme/blog")
    answer = await visitor.ask("GET", "/packages", ROOT)
    note = "GitHub's packages are not listed: set `GITHUB_PAT`, a classic token with `read:packages`."
    assert answer.body == {
        "packages": [{
            "image": "ghcr.io/acme/blog/api", "tag": "0002", "digest": digest_of("ghcr.io/acme/blog/api", "0002"),
            "pushed_at": "2026-03-01T12:00:00Z", "repository": "acme/blog", "name": "api",
        }],
        "total": 1, "next": None, "looked_at": None, "trouble": "", "note": note,
    }  # fmt: skip


async def test_two_hundred_packages_are_walked_in_pages(house: House, visitor: Visitor) -> None:
    images = await many(house, 200)
    first = (await visitor.ask("GET", "/packages", ROOT)).body
    assert (len(first["packages"]), first["total"]) == (20, 200)
    assert [each["image"] for each in await walk(visitor, "/packages?limit=33", "packages")] == images


async def test_versions_of_a_service_are_walked_in_pages(house: House, visitor: Visitor) -> None:
    await listed(house, WEB, *((f"{n:04}", "latest") if n == 50 else (f"{n:04}",) for n in range(1, 51)))
    found = await walk(visitor, "/services/web/versions", "versions")
    assert [each["tag"] for each in found] == [f"{n:04}" for n in range(50, 0, -1)]
    assert found[0] == {
        "tag": "0050", "tags": ["0050", "latest"], "digest": digest_of(WEB, "0050"),
        "pushed_at": NOON.isoformat().replace("+00:00", "Z"), "bytes": None, "runs": False, "is_newest": True,
        "is_newer": True, "is_here": False,
    }  # fmt: skip
    answer = (await visitor.ask("GET", "/services/web/versions?limit=1", ROOT)).body
    assert (answer["source"], answer["image"], answer["total"], answer["next"]) == ("github", WEB, 50, "0050")
    assert answer["note"].endswith("What is shown was read 0 s ago.") and answer["looked_at"]


@pytest.mark.parametrize(
    "before", ["x", "9999-99-99 y", "\u0000", " ", "2026-03-01T12:00:00Z", "a" * 401, "0001-01-01T00:00:00+23:59 x"]
)
async def test_a_place_that_no_page_has_ended_at_is_refused(house: House, visitor: Visitor, before: str) -> None:
    await many(house, 1)
    await listed(house, WEB, ("0001",))
    for path, wanted in (("/packages", {200, 400}), ("/services/web/versions", {400, 404})):
        answer = await visitor.ask("GET", f"{path}?before={quote(before, safe='')}", ROOT)
        assert answer.status in wanted, answer
    assert (await visitor.ask("GET", "/packages?limit=0", ROOT)).status == 400


async def test_who_may_see_them(house: House, visitor: Visitor) -> None:
    await add_user(house, "ivy", (Action.ADD_NEW_SERVICE, GLOBAL))
    await many(house, 1)
    asked = {
        (who, path): (await visitor.ask("GET", path, basic(who))).status
        for who in ("root", "ada", "bob", "ivy")
        for path in ("/packages", "/services/web/versions", "/services/shop/versions")
    }
    assert asked == {
        ("root", "/packages"): 200, ("root", "/services/web/versions"): 200, ("root", "/services/shop/versions"): 200,
        ("ada", "/packages"): 403, ("ada", "/services/web/versions"): 200, ("ada", "/services/shop/versions"): 404,
        ("bob", "/packages"): 403, ("bob", "/services/web/versions"): 404, ("bob", "/services/shop/versions"): 404,
        ("ivy", "/packages"): 200, ("ivy", "/services/web/versions"): 404, ("ivy", "/services/shop/versions"): 404,
    }  # fmt: skip


async def test_the_originals_list_has_what_github_lists_with_all_its_tags(house: House, visitor: Visitor) -> None:
    images = await many(house, 200)
    await listed(house, "ghcr.io/acme/blog", ("0001",), ("0002", "latest", "main"))
    await house.services.worker.start()
    live = await house.deployed("web", "0001")
    await listed(house, WEB, ("0001", "stable"), digests={"0001": live.digest})
    rows = {row["name"]: row for row in (await visitor.ask("GET", "/../services", ROOT)).body}
    assert len(rows) == 2 + 1 + len(images)
    blog = rows["blog"]
    assert (blog["state"], blog["image"], blog["latestImageTags"]) == (
        "available", "ghcr.io/acme/blog:0002", ["0002", "latest", "main"]
    )  # fmt: skip
    assert blog["latestImageDigest"] == digest_of("ghcr.io/acme/blog", "0002")
    assert rows["web"]["latestImageTags"] == ["0001", "stable"]
    assert rows["package-000"]["latestImageTags"] == ["0001"]
