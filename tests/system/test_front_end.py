"""A whole working day at the original's front end, with real parts; every answer must be one that its page may read."""

from __future__ import annotations

import asyncio
import itertools
import os
import re
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import orjson
import pytest
import pytest_asyncio

from lab.front_end import ORIGIN, FrontEnd, front_end
from lab.house import House, house
from lab.load import Load, Target
from lab.ports import free_port
from lab.tenant import VISITORS, Tenant
from tests.system.checks import assert_nothing_lost

pytestmark = [pytest.mark.parts, pytest.mark.asyncio(loop_scope="module")]
PASSWORD, ADAS, ADAS_NEW = "the admin's own password", "a password for ada", "what ada likes better"
ENVIRONMENT = "# Kept as written: ünïcödé\r\nGREETING='hello there'\n\nSIZE=xl  # why\n"
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z ")
EARLY_S = 45  # a release is watched for 60 s by default: an answer before that did not wait for it
_numbers = itertools.count(1)


class Shop(Tenant):
    """What is pushed to, and the port of the machine that it gets."""

    def __init__(self, home: House) -> None:
        super().__init__(home, f"shop{os.getpid()}-{next(_numbers)}")
        self.port = free_port()
        self.scope = f"service:{self.name}"

    async def container(self) -> dict[str, Any]:
        """`docker inspect` of the one container that serves."""
        (found,) = await self.inspected()
        return found

    async def configured(self, **changes: Any) -> None:
        """What the front end has no field for, with the command line's call; until it serves with that."""
        found = (await self.house.get(f"/services/{self.name}"))["configuration"] | changes
        applied = await self.house.call("PUT", f"/services/{self.name}", found)
        await self.house.is_live(applied["deployment"]["id"])

    def load(self) -> Load:
        """Visitors of its domain, until stopped."""
        return Load(Target("127.0.0.1", self.house.http_port, self.host), VISITORS, rate=30)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def home() -> AsyncIterator[House]:
    async with house(ALLOWED_ORIGINS=f"http://localhost:3000,{ORIGIN}", AUTH_PASSWORD=PASSWORD) as home:
        yield await home.start()


@pytest_asyncio.fixture(loop_scope="module")
async def admin(home: House) -> AsyncIterator[FrontEnd]:
    """The page of `AUTH_USERNAME`, in a browser somewhere else."""
    async with front_end(f"http://127.0.0.1:{home.port}", "admin", PASSWORD) as page:
        yield page


async def test_a_working_day(home: House, admin: FrontEnd) -> None:
    shop = Shop(home)
    await something_is_pushed_and_pulled(shop, admin)
    await it_is_started_from_what_is_available(shop, admin)
    await its_log_is_read(shop, admin)
    await its_environment_is_edited(shop, admin)
    await its_limits_are_changed(shop, admin)
    await a_newer_tag_is_brought_and_no_visitor_notices(shop, admin)
    await it_is_restarted_stopped_and_started(shop, admin)
    await somebody_with_few_rights_works_with_it(shop, admin)
    await it_is_removed_and_its_volume_stays(shop, admin)


async def test_a_bad_release_is_told_with_its_reason_and_no_visitor_sees_it(home: House, admin: FrontEnd) -> None:
    shop = Shop(home)
    for tag, fault in (("0001", ""), ("0002", "exit1")):
        await shop.make(tag, fault)
    config = {"containerPort": "8080", "domain": shop.host}
    assert (await admin.call("POST", "/services/start", {
        "service": shop.name, "image": f"{shop.image}:0001", "recreate": True, "config": config,
    })).error == ""  # fmt: skip
    await shop.configured(health={"kind": "tcp", "within": 4}, drain_timeout=5)
    load = shop.load()
    load.start()
    for image, more, reason in (
        (f"{shop.image}:0002", {}, "exit"), ("", {"containerPort": "81"}, "81"),
    ):  # fmt: skip
        answer = await admin.start(shop.name, image, recreate=True, **more)
        assert (answer.status, reason in answer.error) == (409, True), answer.body
        row = await admin.service(shop.name)
        assert (row["state"], row["image"]) == ("running", f"{shop.image}:0001")
    report = await load.stop()
    assert_nothing_lost(report)
    assert set(report.versions) == {"0001"}
    assert (await admin.remove(shop.name)).error == ""


async def something_is_pushed_and_pulled(shop: Shop, admin: FrontEnd) -> None:
    answer = await shop.announce(await shop.make("0001"))
    assert answer.body["ignored"] == [f"no service uses {shop.image}"]
    row = await admin.shows(shop.name, bool)
    assert (row["state"], row["image"]) == ("available", f"{shop.image}:0001")
    *progress, last = await admin.pull(row["image"])
    assert last == "Done."
    told = [orjson.loads(line) for line in progress]
    assert {line["status"] for line in told} >= {"Pulling", "Pulled"}
    assert (await admin.pull(f"{shop.image}:0009"))[-1].startswith("Error: ")


async def it_is_started_from_what_is_available(shop: Shop, admin: FrontEnd) -> None:
    row = await admin.service(shop.name)
    async with asyncio.timeout(EARLY_S):
        answer = await admin.start(
            row["name"], row["config"]["image"], hostPort=f"127.0.0.1:{shop.port}", containerPort="8080",
            domain=shop.host, memoryLimit="128m", cpuLimit="0.5",
        )  # fmt: skip
    assert (answer.error, answer.body["success"]) == ("", True)
    assert shop.host in answer.body["nginx"]
    assert await shop.version() == "0001", "by the answer it serves"
    async with aiohttp.ClientSession() as visitor, visitor.get(f"http://127.0.0.1:{shop.port}/") as direct:
        assert '"version": "0001"' in await direct.text()
    row, container = await admin.service(shop.name), await shop.container()
    assert (row["state"], row["id"]) == ("running", container["Id"][:12])
    assert re.fullmatch(r"Up (Less than a second|1 second|\d+ seconds|About a minute)", row["status"])
    assert row["currentImageDigest"] == row["latestImageDigest"] != ""
    limits = container["HostConfig"]
    assert (limits["Memory"], limits["NanoCpus"]) == (128 * 1024**2, 500_000_000)


async def its_log_is_read(shop: Shop, admin: FrontEnd) -> None:
    id = (await admin.service(shop.name))["id"]
    async with asyncio.timeout(20), admin.logs(id) as lines:
        first = await anext(lines)
    assert TIME.match(first), first
    assert "\0" not in first and "\x01" not in first, "Docker's frame headers"


async def its_environment_is_edited(shop: Shop, admin: FrontEnd) -> None:
    before = await shop.container()
    assert (await admin.env(shop.name)).body == ""
    async with asyncio.timeout(EARLY_S):
        assert (await admin.save_env(shop.name, ENVIRONMENT)).error == ""
    assert (await admin.env(shop.name)).body == ENVIRONMENT
    assert await shop.variables() >= {"GREETING=hello there", "SIZE=xl"}
    row = await admin.service(shop.name)
    assert row["id"] == (await shop.container())["Id"][:12] != before["Id"][:12]


async def its_limits_are_changed(shop: Shop, admin: FrontEnd) -> None:
    async with asyncio.timeout(EARLY_S):
        assert (await admin.start(shop.name, memoryLimit="200MB", clientMaxBodySize="3m")).error == ""
    container = await shop.container()
    assert container["HostConfig"]["Memory"] == 200 * 1024**2
    assert container["HostConfig"]["NanoCpus"] == 500_000_000, "what was left out keeps its value"
    assert (await admin.service(shop.name))["config"]["clientMaxBodySize"] == "3m"
    assert await shop.variables() >= {"GREETING=hello there"}


async def a_newer_tag_is_brought_and_no_visitor_notices(shop: Shop, admin: FrontEnd) -> None:
    """By the button: pushes of this service wait for it. It also gets a volume, of which the page knows nothing."""
    volumes = [{"name": "data", "path": "/data"}]
    await shop.configured(follow={"auto_deploy": "off"}, volumes=volumes, drain_timeout=5)
    newer = await shop.make("0002")
    assert (await shop.announce(newer)).body["accepted"] == []
    row = await admin.shows(shop.name, lambda row: row.get("latestImageDigest") == newer.digest)
    assert (row["latestImageTags"], row["currentImageDigest"] != newer.digest) == (["0002"], True)
    load = shop.load()
    load.start()
    async with asyncio.timeout(EARLY_S):
        assert (await admin.update(shop.name)).error == ""
    assert await shop.version() == "0002"
    await shop.house.until(lambda: _seen(load, "0002"))
    report = await load.stop()
    assert_nothing_lost(report)
    row = await admin.service(shop.name)
    assert row["currentImageDigest"] == row["latestImageDigest"] == newer.digest


async def _seen(load: Load, version: str) -> bool:
    return version in load.report.versions


async def it_is_restarted_stopped_and_started(shop: Shop, admin: FrontEnd) -> None:
    before = await admin.service(shop.name)
    async with asyncio.timeout(EARLY_S), admin.logs(before["id"]) as lines:
        await anext(lines)
        restarting = asyncio.create_task(admin.restart(shop.name))
        while "version 0002 starting" not in await anext(lines):
            pass  # who follows the log of the old container sees the new one begin
        assert (await restarting).error == ""
    assert (await admin.service(shop.name))["id"] != before["id"]
    assert (await admin.stop(shop.name)).error == ""
    row = await admin.service(shop.name)
    assert (row["state"], row["status"].startswith("Exited (")) == ("exited", True)
    assert await shop.version() == "503"
    assert (await admin.start(shop.name, row["image"])).error == ""
    assert ((await admin.service(shop.name))["state"], await shop.version()) == ("running", "0002")


async def somebody_with_few_rights_works_with_it(shop: Shop, admin: FrontEnd) -> None:
    other = Shop(shop.house)
    await other.announce(await other.make("0001"))
    assert (await admin.start(other.name, f"{other.image}:0001", containerPort="8080", domain=other.host)).error == ""
    rights = [{"scope": shop.scope, "action": action} for action in ("deploy", "view_logs", "view_config")]
    assert (await admin.add_user("ada", ADAS, rights)).body["success"]
    ada = FrontEnd(admin.client, admin.server, "ada", ADAS)
    (row,) = await ada.services()
    assert row["name"] == shop.name
    assert {word for word, may in row["_permissions"].items() if may} == {"view_logs", "view_config"}
    async with asyncio.timeout(20), ada.logs(row["id"]) as lines:
        assert TIME.match(await anext(lines))
    assert (await ada.restart(shop.name)).error == ""
    for answer in (
        await ada.restart(other.name), await ada.remove(other.name), await ada.env(other.name),
        await ada.call("GET", f"/services/{(await admin.service(other.name))['id']}/logs"),
    ):  # fmt: skip
        assert answer.status == 404
    for answer in (
        await ada.stop(shop.name), await ada.env(shop.name), await ada.remove(shop.name), await ada.users(),
        await ada.start(shop.name, memoryLimit="1g"), await ada.start("mine", "x.example.org/a:1", containerPort="80"),
    ):  # fmt: skip
        assert answer.status == 403
    assert (await admin.set_permissions("ada", [*rights, {"scope": shop.scope, "action": "manage"}])).error == ""
    assert (await ada.stop(shop.name)).error == ""
    assert (await ada.start(shop.name)).error == ""
    await her_password_changes_and_she_leaves(admin, ada)
    assert (await admin.remove(other.name)).error == ""


async def her_password_changes_and_she_leaves(admin: FrontEnd, ada: FrontEnd) -> None:
    assert (await ada.change_password(ADAS_NEW)).body == {"success": True}
    assert (await ada.call("GET", "/services")).status == 401
    ada.log_in("ada", ADAS_NEW)
    assert (await ada.call("GET", "/services")).status == 200
    assert (await admin.remove_user("ada")).body == {"success": True}
    refused = await ada.call("GET", "/services")
    assert (refused.status, refused.headers["WWW-Authenticate"]) == (401, 'Basic realm="Orchestr8"')
    assert (await admin.users()).body == []


async def it_is_removed_and_its_volume_stays(shop: Shop, admin: FrontEnd) -> None:
    volume = shop.house.data / "volumes" / shop.name / "data"
    assert volume.is_dir()
    assert (await admin.remove(shop.name)).error == ""
    assert volume.is_dir()
    assert await shop.containers() == []
    assert (await admin.service(shop.name))["state"] == "available", "it can be installed again"
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await shop.house.visit(shop.host)
