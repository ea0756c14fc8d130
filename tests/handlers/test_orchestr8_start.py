"""`POST /services/start` of the original's front end: one form that installs, starts, updates and configures."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientError

from bot.errors import EngineError
from bot.models import Kind, Wanted
from bot.permissions import GLOBAL, Action
from lab.waiting import until
from tests.handlers.fronting import IMAGE, NAME, SCOPE, Fronted, fronted

pytestmark = pytest.mark.slow

A = Action
WAIT_S = 20


@pytest.fixture
async def it(tmp_path: Path) -> AsyncIterator[Fronted]:
    async with fronted(tmp_path) as it:
        yield it


async def configuration(it: Fronted, name: str = NAME) -> dict[str, Any]:
    return (await it.house.services.store.service(name)).configuration.model_dump()


def form(it: Fronted, **more: str) -> dict[str, Any]:
    return {"containerPort": str(it.house.port)} | more


# -- a new service


async def test_a_service_is_installed_and_the_answer_comes_when_it_serves(it: Fronted) -> None:
    """Not after draining and watching, which takes the 60 s that a release is watched by default."""
    it.house.registry.push("0001")
    async with asyncio.timeout(WAIT_S):
        answer = await it.root.start(NAME, f"{IMAGE}:0001", **form(
            it, hostPort="8081", domain="Shop.Example.org", memoryLimit="256m", cpuLimit="0.5",
        ))  # fmt: skip
    live = await it.live()
    assert answer.status == 200
    assert answer.body == {
        "success": True, "message": f"{NAME} 0001 serves.", "nginx": "nginx sends shop.example.org to it.",
        "deployment": live.id,
    }  # fmt: skip
    assert (live.tag, live.has_ended) == ("0001", False)
    found = await configuration(it)
    assert (found["host_port"], found["domains"], found["watch"]) == ("8081", ("shop.example.org",), 60)
    assert (found["limits"]["memory"], found["limits"]["cpus"]) == ("256m", 0.5)
    assert found["health"]["kind"] == "tcp", "the form has no path to ask"
    row = await it.root.service(NAME)
    assert (row["state"], row["config"]["hostPort"]) == ("running", "8081")


@pytest.mark.parametrize("port", ["8081", "127.0.0.1:8081", 8081])
async def test_a_port_of_the_machine_comes_in_both_forms(it: Fronted, port: object) -> None:
    it.house.registry.push("0001")
    config = {"hostPort": port, "containerPort": it.house.port, "image": f"{IMAGE}:0001", "new": 1}
    body = {"service": NAME, "image": f"{IMAGE}:0001", "recreate": True, "more": [], "config": config}
    assert (await it.root.call("POST", "/services/start", body)).error == ""
    assert (await configuration(it))["host_port"] == str(port)


async def test_a_release_that_does_not_come_up_is_told_with_its_reason(it: Fronted) -> None:
    """There is no such tag. The service is there then, and the same form tries again."""
    answer = await it.root.start(NAME, f"{IMAGE}:0001", **form(it))
    assert (answer.status, "0001" in answer.error) == (409, True)
    assert (await it.root.service(NAME))["state"] == "created"
    it.house.registry.push("0001")
    assert (await it.root.start(NAME, f"{IMAGE}:0001", **form(it))).error == ""
    assert (await it.live()).tag == "0001"


@pytest.mark.parametrize(("tag", "follow"), [
    ("0001", ("numeric", "")), ("", ("numeric", "")), ("latest", ("numeric", "")), ("16-alpine", ("tag", "16-alpine")),
    ("v1.2.3", ("tag", "v1.2.3")),
])  # fmt: skip
async def test_a_new_service_follows_what_its_first_tag_is_like(it: Fronted, tag: str, follow: tuple[str, str]) -> None:
    """Else `16-alpine` would be replaced by the next number that is pushed."""
    it.house.registry.push("0001")
    it.house.registry.push(tag or "0002")
    answer = await it.root.start(NAME, f"{IMAGE}:{tag}" if tag else IMAGE, **form(it))
    assert answer.error == ""
    found = (await configuration(it))["follow"]
    assert (found["policy"], found["tag"]) == follow
    assert (await it.live()).tag == {"": "0002", "latest": "0001"}.get(tag, tag)


async def test_a_new_service_by_digest_runs_that_digest(it: Fronted) -> None:
    it.house.registry.push("0001")
    digest = "sha256:" + "d" * 64
    it.house.registry.found[digest] = digest
    assert (await it.root.start(NAME, f"{IMAGE}@{digest}", **form(it))).error == ""
    assert (await it.live()).digest == digest


@pytest.mark.parametrize(("image", "config", "words"), [
    ("", {"containerPort": "80"}, "image"), (f"{IMAGE}:0001", {}, "containerPort"),
    (f"{IMAGE}:0001", {"containerPort": ""}, "containerPort"), (f"{IMAGE}:0001", {"containerPort": "http"}, "port"),
])  # fmt: skip
async def test_a_new_service_needs_an_image_and_a_port(
    it: Fronted, image: str, config: dict[str, Any], words: str
) -> None:
    answer = await it.root.start(NAME, image, **config)
    assert answer.status == 400 and words in answer.error
    assert await it.root.services() == []


async def test_only_who_may_add_services_installs_one(it: Fronted) -> None:
    it.house.registry.push("0001")
    page = await it.page("ada", (A.MANAGE, SCOPE), (A.EDIT_CONFIGURATION, SCOPE))
    answer = await page.start("blog", "ghcr.io/acme/blog:0001", **form(it))
    assert (answer.status, "add_new_service" in answer.error) == (403, True)
    installer = await it.page("bob", (A.ADD_NEW_SERVICE, GLOBAL))
    assert (await installer.start("blog", "ghcr.io/acme/blog:0001", **form(it))).error == ""
    assert (await it.live("blog")).actor == "user:bob"


# -- one that is there


async def test_fields_that_are_left_out_keep_their_value(it: Fronted) -> None:
    await it.deployed(
        domains=["a.example.org", "b.example.org"], host_port="8081", limits={"memory": "256m", "cpus": 2, "pids": 99},
        site={"timeout": 7}, restart="always", replicas=2,
    )  # fmt: skip
    before = await configuration(it)
    assert (await it.root.start(NAME, memoryLimit="300m")).error == ""
    before["limits"]["memory"] = "300m"
    assert await configuration(it) == before
    assert (await it.live()).configuration.limits.memory == "300m"
    assert (await it.live()).kind is Kind.CONFIGURE
    assert (
        await it.root.call("POST", "/services/start", {"service": NAME, "config": {"hostPort": None}})
    ).status == 200
    assert await configuration(it) == before


async def test_an_empty_port_or_limit_keeps_its_value_and_an_emptied_address_goes(it: Fronted) -> None:
    await it.deployed(domains=["a.example.org", "b.example.org"], host_port="8081", limits={"memory": "256m"})
    before = await configuration(it)
    empty: dict[str, Any] = dict.fromkeys(
        ("containerPort", "memoryLimit", "cpuLimit", "clientMaxBodySize", "restartPolicy"), ""
    )
    assert (await it.root.start(NAME, **empty, hostPort="", domain="")).error == ""
    assert await configuration(it) == before | {"host_port": "", "domains": ("b.example.org",)}


async def test_the_form_changes_the_first_domain_alone(it: Fronted) -> None:
    await it.deployed(domains=["a.example.org", "b.example.org", "c.example.org"])
    assert (await it.root.start(NAME, domain="new.example.org")).error == ""
    assert (await configuration(it))["domains"] == ("new.example.org", "b.example.org", "c.example.org")
    assert (await it.root.start(NAME, domain="c.example.org")).error == ""
    assert (await configuration(it))["domains"] == ("c.example.org", "b.example.org")


@pytest.mark.parametrize(("text", "kept"), [
    ("512MB", "512m"), ("512 Mi", "512m"), ("512m", "512m"), ("1GiB", "1g"), ("536870912", "512m"),
    ("2147483648", "2g"), ("1000000", "1000000"), ("300K", "300k"),
])  # fmt: skip
async def test_sizes_as_people_write_them(it: Fronted, text: str, kept: str) -> None:
    await it.add()
    it.house.registry.push("0001")
    assert (await it.root.start(NAME, memoryLimit=text, clientMaxBodySize=text)).error == ""
    found = await configuration(it)
    assert (found["limits"]["memory"], found["site"]["max_body_size"]) == (kept, kept)


async def test_another_image_and_another_configuration_come_with_one_deployment(it: Fronted) -> None:
    await it.deployed()
    it.house.registry.push("0002")
    assert (await it.root.start(NAME, f"{IMAGE}:0002", memoryLimit="300m")).error == ""
    live = await it.live()
    assert (live.tag, live.configuration.limits.memory, await it.count()) == ("0002", "300m", 2)


async def test_what_runs_as_asked_for_is_left_alone(it: Fronted) -> None:
    await it.deployed()
    for image in ("", IMAGE, f"{IMAGE}:0001", f"{IMAGE}:0001@{(await it.live()).digest}"):
        assert (await it.root.start(NAME, image)).body["message"] == f"{NAME} runs as asked for."
    assert await it.count() == 1


async def test_a_service_that_returned_to_a_release_of_another_image_is_left_alone(it: Fronted) -> None:
    first = await it.deployed()
    assert (await it.root.start(NAME, "ghcr.io/acme/moved:0001")).error == ""
    assert ((await it.live()).image, await it.count()) == ("ghcr.io/acme/moved", 2)
    await it.house.services.worker.want(Wanted(service=NAME, kind=Kind.ROLLBACK, actor="o8", target=first.id))

    async def is_back() -> bool:
        return (await it.live()).image == IMAGE

    await until(is_back)
    assert (await it.root.start(NAME)).body["message"] == f"{NAME} runs as asked for."
    assert await it.count() == 3


async def test_recreate_makes_new_containers_of_the_same_release(it: Fronted) -> None:
    before = await it.deployed()
    assert (await it.root.start(NAME, f"{IMAGE}:0001", recreate=True)).error == ""
    live = await it.live()
    assert (live.kind, live.digest, live.id != before.id) == (Kind.RESTART, before.digest, True)


async def test_latest_is_the_newest_that_is_followed_and_never_a_tag(it: Fronted) -> None:
    await it.deployed(follow={"auto_deploy": "off"})
    assert (await it.root.start(NAME, f"{IMAGE}:latest")).body["message"] == f"{NAME} runs as asked for."
    it.house.registry.push("0002")
    await it.look()
    assert (await it.root.start(NAME, f"{IMAGE}:latest")).error == ""
    assert (await it.live()).tag == "0002"


async def test_a_stopped_service_starts_again_with_what_was_changed(it: Fronted) -> None:
    await it.deployed()
    await it.root.stop(NAME)
    assert (await it.root.start(NAME, f"{IMAGE}:0001", memoryLimit="300m")).error == ""
    live = await it.live()
    assert (live.kind, live.configuration.limits.memory) == (Kind.START, "300m")
    assert (await it.root.service(NAME))["state"] == "running"


async def test_a_stopped_service_starts_with_another_image(it: Fronted) -> None:
    await it.deployed()
    await it.root.stop(NAME)
    it.house.registry.push("0002")
    assert (await it.root.start(NAME, f"{IMAGE}:0002")).error == ""
    assert ((await it.live()).tag, (await it.root.service(NAME))["state"]) == ("0002", "running")


async def test_a_configuration_that_did_not_come_up_is_tried_again(
    it: Fronted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the service's configuration by then, but what serves has another one."""
    await it.deployed()

    async def refuse(workload: Any) -> None:
        raise EngineError("Docker refused.", "Look.")

    monkeypatch.setattr(it.house.engine, "start", refuse)
    assert (await it.root.start(NAME, memoryLimit="300m")).status == 409
    assert (await it.live()).configuration.limits.memory == "512m"
    monkeypatch.undo()
    assert (await it.root.start(NAME, memoryLimit="300m")).error == ""
    assert (await it.live()).configuration.limits.memory == "300m"


async def test_where_pushes_wait_for_approval_who_manages_has_decided_and_who_deploys_waits(it: Fronted) -> None:
    await it.deployed(follow={"auto_deploy": "approve"})
    it.house.registry.push("0002")
    page = await it.page("ada", (A.DEPLOY, SCOPE))
    answer = await page.start(NAME, f"{IMAGE}:0002")
    assert (answer.status, "waits for approval" in answer.body["message"]) == (200, True)
    assert (await it.live()).tag == "0001"
    assert (await it.root.start(NAME, f"{IMAGE}:0002")).error == ""
    assert (await it.live()).tag == "0002"


async def test_a_locked_service_is_not_changed(it: Fronted) -> None:
    await it.deployed()
    await it.house.ask("PUT", f"/services/{NAME}/lock", {"reason": "exam"})
    before = await configuration(it)
    configs: list[dict[str, Any]] = [{"memoryLimit": "300m"}, {}]
    for config in configs:
        answer = await it.root.start(NAME, f"{IMAGE}:0002", **config)
        assert (answer.status, "exam" in answer.error) == (409, True)
    assert await configuration(it) == before


# -- who may


@pytest.mark.parametrize(("rights", "image", "recreate", "config"), [
    ((A.DEPLOY,), "0001", False, {"memoryLimit": "300m"}),
    ((A.DEPLOY,), "0002", False, {"memoryLimit": "300m"}),
    ((A.EDIT_CONFIGURATION,), "0002", False, {"memoryLimit": "300m"}),
    ((A.EDIT_CONFIGURATION,), "0001", True, {}),
    ((A.VIEW_STATUS,), "0002", False, {}),
])  # fmt: skip
async def test_without_one_of_the_rights_nothing_is_done(
    it: Fronted, rights: tuple[Action, ...], image: str, recreate: bool, config: dict[str, Any]
) -> None:
    await it.deployed()
    it.house.registry.push("0002")
    before = await it.house.services.store.service(NAME)
    page = await it.page("ada", *((right, SCOPE) for right in rights))
    answer = await page.start(NAME, f"{IMAGE}:{image}", recreate=recreate, **config)
    assert answer.status == 403
    assert await it.house.services.store.service(NAME) == before
    assert await it.count() == 1


async def test_a_stopped_service_is_not_configured_by_who_may_not_start_it(it: Fronted) -> None:
    await it.deployed()
    await it.root.stop(NAME)
    page = await it.page("ada", (A.DEPLOY, SCOPE), (A.EDIT_CONFIGURATION, SCOPE))
    assert (await page.start(NAME, memoryLimit="300m")).status == 403
    assert (await configuration(it))["limits"]["memory"] == "512m"


async def test_who_may_not_read_the_configuration_updates_without_emptying_it(it: Fronted) -> None:
    """The list shows them empty fields, and their page sends them back."""
    await it.deployed(domains=["a.example.org"], host_port="8081", follow={"auto_deploy": "off"})
    before = await configuration(it)
    it.house.registry.push("0002")
    await it.look()
    page = await it.page("ada", (A.DEPLOY, SCOPE))
    assert (await page.update(NAME)).error == ""
    assert await configuration(it) == before
    assert (await it.live()).tag == "0002"


async def test_a_service_that_one_may_not_see_is_as_good_as_none(it: Fronted) -> None:
    await it.deployed()
    page = await it.page("ada", (A.DEPLOY, "service:other"))
    hidden, absent = [await page.start(name, f"{IMAGE}:0001", **form(it)) for name in (NAME, "nothing-here")]
    assert (hidden.status, hidden.error) == (absent.status, absent.error)
    installer = await it.page("bob", (A.ADD_NEW_SERVICE, GLOBAL))
    before = await configuration(it)
    taken = await installer.start(NAME, "ghcr.io/evil/image:0001", **form(it))
    assert taken.status == 409
    assert await configuration(it) == before


# -- at the same time


async def test_two_who_change_different_fields_at_once_both_have_their_way(it: Fronted) -> None:
    await it.add()
    it.house.registry.push("0001")
    fields: list[dict[str, Any]] = [
        {"memoryLimit": "300m"}, {"cpuLimit": "2"}, {"domain": "a.example.org"}, {"clientMaxBodySize": "3m"},
        {"restartPolicy": "always"},
    ]  # fmt: skip
    for answer in await asyncio.gather(*(it.root.start(NAME, **field) for field in fields)):
        assert answer.status in (200, 409), answer.body
    found = await configuration(it)
    assert (found["limits"]["memory"], found["limits"]["cpus"]) == ("300m", 2)
    assert (found["domains"], found["site"]["max_body_size"]) == (("a.example.org",), "3m")
    assert found["restart"] == "always"


async def test_o8s_end_does_not_wait_for_who_waits(it: Fronted) -> None:
    await it.add()
    it.house.registry.push("0001")
    it.house.engine.may_pull.clear()
    waiting = asyncio.create_task(it.root.start(NAME, f"{IMAGE}:0001"))

    async def is_asked_for() -> bool:
        return len(await it.house.services.store.unfinished()) > 0

    async def ends() -> bool:
        await it.house.doors[0].shutdown()  # it may not have begun to wait when it was asked for
        return waiting.done()

    await until(is_asked_for)
    await until(ends, WAIT_S)
    assert isinstance(waiting.exception(), ClientError)
    it.house.engine.may_pull.set()
