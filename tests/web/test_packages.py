"""The pages of what could be installed, and of a service's versions."""

from __future__ import annotations

import re

import pytest

from bot.permissions import GLOBAL, Action
from tests.handlers.visiting import add_user
from tests.small_house import House
from tests.stock import digest_of, listed, many
from tests.web.conftest import Come
from tests.web.guest import Guest

pytestmark = pytest.mark.slow
WEB = "ghcr.io/acme/web"


async def test_the_first_page_has_the_newest_and_leads_to_all(house: House, mira: Guest) -> None:
    images = await many(house, 200)
    home = await mira.get("/ui/")
    offered = re.findall(r'href="/ui/new\?image=([^"]+)"', home.text)
    assert len(offered) == 8 and set(offered) < {*images, "ghcr.io/acme/reports"}
    assert "All 201" in home.words and "set GITHUB_PAT" in home.words
    found: list[str] = []
    path = "/ui/available"
    while path:
        page = await mira.get(path)
        found += re.findall(r'href="/ui/new\?image=([^"]+)"', page.text)
        further = re.search(r'rel="next" href="([^"]+)"', page.text)
        path = further[1].replace("&amp;", "&") if further else ""
    assert sorted(found) == sorted([*images, "ghcr.io/acme/reports"])


async def test_one_can_look_for_a_name(house: House, mira: Guest) -> None:
    await many(house, 120)
    page = await mira.get("/ui/available?search=PACKAGE-1")
    assert "20 images that no service uses, with “package-1” in the name" in page.words
    assert page.text.count("/ui/new?image=") == 20
    further = await mira.get("/ui/available?search=package-")
    assert "&amp;search=package-" in further.text
    evil = await mira.get('/ui/available?search="><script>')
    assert "<script>" not in evil.text and "None is known" in evil.words
    assert (await mira.get("/ui/available?before=x")).status == 400


async def test_versions_have_marks_and_a_button_where_they_are_newer(house: House, mira: Guest) -> None:
    await house.services.worker.start()
    service = await house.services.store.service("web")
    assert service.live is not None
    live = await house.services.store.deployment(service.live)
    await listed(house, WEB, ("0412",), (live.tag,), ("0499", "latest"), digests={live.tag: live.digest})
    page = await mira.get("/ui/services/web/versions")
    rows = [re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", row)).strip() for row in page.text.split("<tr>")[2:]]
    assert rows[0].startswith(f"0499 latest {digest_of(WEB, '0499')[7:19]}") and "newest newer Deploy 0499" in rows[0]
    assert rows[1].startswith(f"{live.tag} {live.digest[7:19]}") and "runs" in rows[1]
    assert "runs" not in rows[2] and page.text.count('name="release"') == 1
    sent = page.values("/ui/services/web/deploy")
    assert sent["release"] == "0499"
    house.registry.push("0499")
    begun = await mira.then(await mira.post("/ui/services/web/deploy", release=sent["release"]))
    assert "0499" in begun.words
    assert "/ui/services/web/versions" in (await mira.get("/ui/services/web")).links


async def test_who_may_only_look_has_no_button(house: House, come: Come) -> None:
    await listed(house, WEB, ("9998",), ("9999",))
    await add_user(house, "kim", (Action.VIEW_STATUS, "service:web"))
    await add_user(house, "ivy", (Action.ADD_NEW_SERVICE, GLOBAL))
    kim, ivy = await come("kim"), await come("ivy")
    page = await kim.get("/ui/services/web/versions")
    assert page.status == 200 and "newer" in page.words and "/ui/services/web/deploy" not in page.links
    assert (await kim.get("/ui/services/shop/versions")).status == 404
    assert (await ivy.get("/ui/services/web/versions")).status == 404
    assert (await kim.get("/ui/available")).status == 403 and (await ivy.get("/ui/available")).status == 200
    assert "Available to install" not in (await kim.get("/ui/")).words


async def test_hostile_words_stay_words(house: House, mira: Guest) -> None:
    evil = '"><img src=x onerror=alert(1)>{{ 7 * 7 }}'
    await listed(house, "ghcr.io/acme/blog", ("0001",), repository=evil)
    house.services.catalogue.trouble = f"{evil} `code`"
    await listed(house, WEB, ("0001",))
    for path in ("/ui/", "/ui/available", "/ui/services/web/versions"):
        page = await mira.get(path)
        assert page.status == 200 and "<img src=x" not in page.text
        assert ("{{ 7 * 7 }}" in page.words) is ("/services/" not in path), "why is for who may add services"


async def test_fifty_versions_make_a_page(house: House, mira: Guest) -> None:
    for number in range(120):
        house.registry.push(f"{number:04}")
    page = await mira.get("/ui/services/mailer/versions")
    assert "the registry's tags" in page.words and page.text.count("<tr>") == 51
    older = re.search(r'rel="next" href="([^"]+)"', page.text)
    assert older and (await mira.get(older[1])).text.count("<tr>") == 51
    assert (await mira.get("/ui/services/mailer/versions?before=gone")).status == 404
