"""A push of GITHUB_AUTO_INSTALL's owners becomes a service by itself, once, unless a person has to decide."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from bot.chat import CardKind, Package
from bot.errors import ImageNotFound, RegistryUnavailable
from bot.models import Deployment
from bot.packages import arrivals
from bot.registry.manifests import Config
from bot.store.catalogue import Listed
from bot.webhooks import PackageEvent, Verdict
from lab.waiting import until
from tests.small_house import House, open_house

BLOG = "ghcr.io/acme/blog"


@asynccontextmanager
async def welcoming(folder: Path, owners: str = "Acme,other", has: str = "", **more: Any) -> AsyncIterator[House]:
    """A house that installs what acme pushes; deployments run, arrivals are taken. `has`: a tag that is there then."""
    async with open_house(folder, github_auto_install=owners, base_domain="example.org", **more) as house:
        await house.services.worker.start()
        if has:
            says(house, has)
        taking = asyncio.create_task(house.services.inbox.arrivals.run())
        yield house
        taking.cancel()
        with suppress(asyncio.CancelledError):
            await taking


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with welcoming(tmp_path) as house:
        yield house


def says(house: House, tag: str = "0001", *, labels: dict[str, str] | None = None, port: int | None = 0) -> str:
    """Pushes an image that says where it listens (None: nowhere); its digest."""
    digest = house.registry.push(tag)
    ports: dict[str, Any] = {} if port is None else {f"{port or house.port}/tcp": {}}
    config = {"Labels": {"o8.health": "/"} | (labels or {}), "ExposedPorts": ports}
    house.registry.abouts[digest] = Config.model_validate({"os": "linux", "architecture": "amd64", "config": config})
    return digest


async def hears(house: House, tag: str = "0001", delivery: str = "d1", image: str = BLOG, **more: str) -> Verdict:
    pushed = PackageEvent(image=image, tag=tag, commit="a" * 40)
    body = f"{delivery}{more}".encode()
    return await house.services.inbox.receive(delivery=delivery, event="package", body=body, package=pushed, ignored="")


async def decided(house: House, image: str = BLOG) -> Package:
    async def look() -> Package | None:
        found = await house.services.store.package(image)
        return found if found.state != "installing" else None

    found = await until(look)
    assert found
    return found


async def deployed(house: House, service: str = "blog") -> list[Deployment]:
    """All of a service's deployments, once each has ended, or serves."""

    async def look() -> list[Deployment] | None:
        found = await house.services.store.deployments(service, limit=10)
        return list(found) if found and all(d.state.is_ending or d.switched_at for d in found) else None

    return await until(look) or []


async def card_of(house: House, image: str = BLOG) -> tuple[int, bool]:
    found = await house.services.store.card(CardKind.PACKAGE, image)
    return found.wanted, found.is_final


async def test_a_first_push_becomes_a_service_that_runs(house: House) -> None:
    digest = says(house)
    assert await hears(house) == Verdict("accepted", ("blog",), ())
    (found,) = await deployed(house)
    assert found.switched_at and (found.tag, found.digest, found.commit) == ("0001", digest, "a" * 40)
    assert (found.actor, found.delivery, found.is_automatic) == ("delivery:d1", "d1", True)
    package = await decided(house)
    assert (package.state, package.service) == ("installed", "blog")
    configuration = (await house.services.store.service("blog")).configuration
    assert (configuration.image, configuration.port) == (BLOG, house.port)
    assert await card_of(house) == (2, True)
    entries = [(e.actor, e.action, e.subject) for e in await house.services.store.audit(limit=50)]
    assert ("delivery:d1", "install", "blog") in entries


async def test_both_events_of_one_push_and_one_hundred_deliveries_install_once(house: House) -> None:
    says(house)
    verdicts = await asyncio.gather(*(hears(house, delivery=f"d{n}") for n in range(100)))
    assert "duplicate" not in {verdict.kind for verdict in verdicts}
    assert await house.services.store.service_names() in (("blog",), ())
    await decided(house)
    assert [d.tag for d in await deployed(house)] == ["0001"]
    assert await house.services.store.service_names() == ("blog",)
    assert (await hears(house, delivery="d1")).kind == "duplicate"


async def test_what_others_push_is_offered_as_before(house: House) -> None:
    says(house)
    verdict = await hears(house, image="ghcr.io/stranger/blog")
    assert verdict == Verdict("ignored", (), ("no service uses ghcr.io/stranger/blog",))
    assert (await decided(house, "ghcr.io/stranger/blog")).state == "offered"
    assert await card_of(house, "ghcr.io/stranger/blog") == (1, False)
    assert await house.services.store.service_names() == ()


async def test_without_the_setting_nothing_installs_itself(tmp_path: Path) -> None:
    async with welcoming(tmp_path, owners="") as house:
        says(house)
        assert (await hears(house)).kind == "ignored"
        assert (await decided(house)).state == "offered"


@pytest.mark.parametrize(("labels", "port", "why"), [
    ({}, None, "The image names no port"), ({"o8.port": "http"}, 0, "label o8.port = 'http' is not obeyed"),
    ({"o8.domain": "www.bank.example"}, 0, "not below BASE_DOMAIN"),
    ({"o8.domain": "shop.example.org"}, 0, "shop.example.org belongs to shop"),
])  # fmt: skip
async def test_what_needs_a_person_is_asked_and_says_why(
    house: House, labels: dict[str, str], port: int | None, why: str
) -> None:
    await house.add("shop", image="ghcr.io/acme/shop")
    says(house, labels=labels, port=port)
    await hears(house)
    package = await decided(house)
    assert package.state == "offered" and why.lower() in package.note.lower()
    assert await card_of(house) == (2, False)
    assert await house.services.store.service_names() == ("shop",)


async def test_a_name_that_is_taken_is_for_a_person_to_choose(house: House) -> None:
    await house.add("blog", image="ghcr.io/acme/weblog")
    says(house)
    await hears(house)
    assert "There is a service blog already" in (await decided(house)).note


async def test_the_next_push_is_a_new_chance(house: House) -> None:
    says(house, port=None)
    await hears(house)
    assert (await decided(house)).state == "offered"
    says(house, "0002")
    await hears(house, "0002", "d2")
    package = await decided(house)
    assert (package.state, package.note) == ("installed", "")
    assert [d.tag for d in await deployed(house)] == ["0002"]


async def test_what_somebody_dismissed_stays_away(house: House) -> None:
    says(house, port=None)
    await hears(house)
    await decided(house)
    await house.services.store.dismiss_package(BLOG)
    says(house, "0002")
    assert (await hears(house, "0002", "d2")).kind == "ignored"
    assert (await decided(house)).state == "dismissed"
    assert await house.services.store.service_names() == ()


@pytest.mark.parametrize("by", ["itself", "file"])
async def test_a_service_that_was_removed_does_not_come_back_by_itself(house: House, by: str) -> None:
    says(house)
    if by == "itself":
        await hears(house)
        await decided(house)
    else:
        await house.add("blog", image=BLOG)
        await house.ask("POST", "/services/blog/deployments", {"release": "0001"})
    await deployed(house)
    await house.services.operations.remove("blog")
    says(house, "0002")
    assert (await hears(house, "0002", "d2")).kind == "ignored"
    assert await house.services.store.service_names() == ()


async def test_the_catalogue_installs_nothing_but_a_push_of_what_it_lists_does(house: House) -> None:
    says(house)
    listed = Listed(image=BLOG, owner="acme", kind="orgs", name="blog", repository="", updated_at="", versions=1)
    await house.services.store.list_package(listed, (), "0001", "")
    assert (await house.services.store.package(BLOG)).state == "listed"
    assert await house.services.store.arrivals() == ()
    await hears(house)
    assert (await decided(house)).state == "installed"


async def test_a_push_of_what_is_listed_only_is_offered_with_a_card(house: House) -> None:
    """The catalogue may have read of a package before its first delivery comes."""
    image = "ghcr.io/stranger/blog"
    listed = Listed(image=image, owner="stranger", kind="orgs", name="blog", repository="", updated_at="", versions=1)
    await house.services.store.list_package(listed, (), "0001", "")
    await hears(house, image=image)
    assert (await house.services.store.package(image)).state == "offered"
    assert await card_of(house, image) == (1, False)


async def test_a_registry_that_lags_is_asked_again(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrivals, "DELAYS_S", (0.01,))
    monkeypatch.setattr(arrivals, "LOOK_S", 0.05)
    tries, resolve = 0, house.registry.resolve

    async def lags(image: str, reference: str) -> Any:
        nonlocal tries
        tries += 1
        if tries < 6:
            raise (
                ImageNotFound(f"{image}:{reference} is not in the registry.") if tries % 2 else RegistryUnavailable("x")
            )
        return await resolve(image, reference)

    monkeypatch.setattr(house.registry, "resolve", lags)
    says(house)
    await hears(house)
    assert (await decided(house)).state == "installed"
    assert [bool(d.switched_at) for d in await deployed(house)] == [True]


async def test_a_registry_that_stays_away_makes_people_decide(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrivals, "DELAYS_S", ())
    monkeypatch.setattr(arrivals, "LOOK_S", 0.05)
    monkeypatch.setattr(arrivals, "PATIENCE_S", 0)

    async def is_away(image: str, reference: str) -> Any:
        raise RegistryUnavailable("The registry does not answer.")

    monkeypatch.setattr(house.registry, "resolve", is_away)
    says(house)
    await hears(house)
    package = await decided(house)
    assert (package.state, package.note) == ("offered", "The registry does not answer.")


async def test_a_delivery_that_names_latest_installs_the_number_pushed_with_it(house: House) -> None:
    house.registry.push("latest")
    says(house, "0007")
    await hears(house, "latest")
    await decided(house)
    assert [d.tag for d in await deployed(house)] == ["0007"]


async def test_a_moving_tag_is_followed_from_then_on(house: House) -> None:
    says(house, "main")
    await hears(house, "main")
    await decided(house)
    await deployed(house)
    says(house, "main")
    digest = house.registry.found["main"] = "sha256:" + "e" * 64
    pushed = PackageEvent(image=BLOG, tag="main", digest=digest)
    inbox = house.services.inbox
    verdict = await inbox.receive(delivery="d2", event="package", body=b"2", package=pushed, ignored="")
    assert verdict.accepted == ("blog",)
    assert len(await deployed(house)) == 2


async def test_a_name_whose_host_name_is_somebody_elses_is_refused_however_it_comes(house: House) -> None:
    """nginx would serve one of the two, and nobody would see which."""
    await house.ask("PUT", "/services/shop", house.file("shop", domains=["blog.example.org"]))
    status, problem = await house.ask("PUT", "/services/blog", house.file("blog"))
    assert (status, problem["detail"]) == (409, "blog.example.org already belongs to shop.")
    assert (await house.ask("PUT", "/services/blog", house.file("blog", domains=["b.example.org"])))[0] == 200
    status, problem = await house.ask("PUT", "/services/web", house.file("web", domains=["web.example.org"]))
    status, problem = await house.ask("PUT", "/services/shop", house.file("shop", domains=["web.example.org"]))
    assert (status, problem["detail"]) == (409, "web.example.org already belongs to web.")


async def test_a_fault_with_one_package_hinders_no_other(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrivals, "LOOK_S", 0.05)
    about = house.registry.about

    async def breaks(image: str, digest: str) -> Any:
        if "poison" in image:
            raise RuntimeError("a bug")
        return await about(image, digest)

    monkeypatch.setattr(house.registry, "about", breaks)
    says(house)
    await hears(house, image="ghcr.io/acme/poison")
    await hears(house, delivery="d2")
    assert (await decided(house)).state == "installed"
    package = await decided(house, "ghcr.io/acme/poison")
    assert (package.state, package.note) == ("offered", "Something went wrong inside o8; its log has the details.")


@pytest.mark.parametrize("what", ["installed", "dismissed"])
async def test_what_somebody_decides_meanwhile_counts(house: House, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    says(house)
    about = house.registry.about

    async def slow(image: str, digest: str) -> Any:
        monkeypatch.setattr(house.registry, "about", about)
        if what == "installed":  # by its file: nothing but the service itself tells of it
            await house.add("mine", image=BLOG)
            await house.ask("POST", "/services/mine/deployments", {"release": "0001"})
        else:
            await house.services.store.dismiss_package(BLOG)
        return await about(image, digest)

    monkeypatch.setattr(house.registry, "about", slow)
    await hears(house)
    package = await decided(house)
    assert package.state == what
    assert await house.services.store.service_names() == (("mine",) if what == "installed" else ())
    if what == "installed":
        first = (await deployed(house, "mine"))[-1]
        assert first.actor.startswith("cli:") and first.tag == "0001"


async def test_a_service_that_does_not_want_pushes_is_not_deployed_by_one(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    says(house)
    about = house.registry.about

    async def slow(image: str, digest: str) -> Any:
        await house.add("mine", image=BLOG, follow={"auto_deploy": "off"})
        return await about(image, digest)

    monkeypatch.setattr(house.registry, "about", slow)
    await hears(house)
    assert (await decided(house)).service == "mine"
    assert await house.services.store.deployments("mine") == ()


# -- kills


async def test_what_a_kill_left_is_installed_by_the_next_start(tmp_path: Path) -> None:
    async with open_house(tmp_path, github_auto_install="acme") as house:
        assert (await hears(house)).kind == "accepted"  # nobody takes it: o8 was killed
    async with welcoming(tmp_path, has="0001") as house:
        await decided(house)
        assert [bool(d.switched_at) for d in await deployed(house)] == [True]


async def test_a_kill_between_service_and_deployment_is_finished(tmp_path: Path) -> None:
    async with open_house(tmp_path, github_auto_install="acme") as house:
        await hears(house)
        await house.add("blog", image=BLOG)
    async with welcoming(tmp_path, has="0001") as house:
        assert (await decided(house)).service == "blog"
        (found,) = await house.services.store.deployments("blog")
        assert (found.actor, found.delivery) == ("delivery:d1", "d1")


async def test_what_was_pushed_while_it_was_installed_is_deployed_too(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    says(house)
    about, second = house.registry.about, asyncio.Event()

    async def slow(image: str, digest: str) -> Any:
        if not second.is_set():
            second.set()
            says(house, "0002")
            await hears(house, "0002", "d2")
        return await about(image, digest)

    monkeypatch.setattr(house.registry, "about", slow)
    await hears(house)
    await decided(house)

    async def runs() -> bool:
        found = await house.services.store.service("blog")
        return bool(found.live and (await house.services.store.deployment(found.live)).tag == "0002")

    await until(runs)
