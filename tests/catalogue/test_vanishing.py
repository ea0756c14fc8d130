"""What vanishes, what stays and what comes back."""

from __future__ import annotations

import aiohttp
import pytest

from bot.configuration import read
from bot.github.packages import Packages
from bot.packages.catalogue import Catalogue
from bot.store import Store
from bot.store.packages import seen
from lab.github_api import FakeGitHub
from tests.catalogue.looking import available, image, images, of

pytestmark = pytest.mark.slow


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
