"""Every bad release of docs/architecture.md ends in its stated ending, and the old release serves throughout."""

from __future__ import annotations

import time
from datetime import datetime

import aiohttp
import pytest

from lab.images import busybox_image
from lab.registry import PASSWORD, USER
from lab.waiting import until
from tests.system.checks import GOOD, assert_failed, assert_nothing_lost, unharmed
from tests.system.conftest import MakeTenant

pytestmark = [pytest.mark.parts, pytest.mark.asyncio(loop_scope="module")]


async def test_a_release_that_exits_is_refused_with_its_exit_code_and_last_lines(tenant: MakeTenant) -> None:
    web = await tenant()
    async with unharmed(web):
        failed = await web.house.ended(await web.push("0002", "exit1"))
    assert_failed(failed, "candidate_failed", "exited with code 1")
    assert failed["exit_code"] == 1
    assert failed["log"].splitlines()[-1] == "giving up"


async def test_secrets_are_masked_in_the_last_lines_of_a_failed_release(tenant: MakeTenant) -> None:
    web = await tenant()
    changed = await web.house.call("PATCH", f"/services/{web.name}/environment", {"set": {"TOKEN": "hush-hush-4711"}})
    await web.serves(changed["deployment"]["id"])
    async with unharmed(web):
        made = busybox_image(
            web.house.engine_host, web.house.registry.image(web.repository), "0002",
            script='echo "token is $TOKEN"; exit 3', account=(USER, PASSWORD),
        )  # fmt: skip
        failed = await web.house.ended(await web.accepted(await web.only_in_registry(made)))
    assert_failed(failed, "candidate_failed", "exited with code 3")
    assert "token is " in failed["log"]
    assert "hush-hush" not in failed["log"]
    assert "hush-hush" not in web.house.log()


async def test_a_release_that_is_killed_for_its_memory_is_refused(tenant: MakeTenant) -> None:
    web = await tenant(limits={"memory": "48m"})
    async with unharmed(web):
        failed = await web.house.ended(await web.push("0002", "oom"))
    assert_failed(failed, "candidate_failed", "needed more memory than its limit")
    assert failed["exit_code"] == 137


async def test_a_release_without_the_port_is_refused(tenant: MakeTenant) -> None:
    web = await tenant(health={"path": "/health", "within": 2})
    async with unharmed(web):
        failed = await web.house.ended(await web.push("0002", "wrong_port"))
    assert_failed(failed, "candidate_failed", "Not healthy within 2 s: nothing listens on port 8080")
    assert "listening on" in failed["log"]


async def test_a_release_that_never_listens_is_refused(tenant: MakeTenant) -> None:
    web = await tenant(health={"path": "/health", "within": 2})
    async with unharmed(web):
        failed = await web.house.ended(await web.push("0002", "never_listens"))
    assert_failed(failed, "candidate_failed", "nothing listens on port 8080")


async def test_a_release_that_listens_late_is_waited_for(tenant: MakeTenant) -> None:
    web = await tenant(health={"path": "/health", "within": 20})
    began = time.monotonic()
    await web.release("0002", "listens_after=5")
    assert time.monotonic() - began > 5
    assert await web.version() == "0002"


@pytest.mark.thorough
async def test_a_release_whose_health_answers_500_is_refused(tenant: MakeTenant) -> None:
    web = await tenant(health={"path": "/health", "within": 2})
    async with unharmed(web):
        failed = await web.house.ended(await web.push("0002", "health_500"))
    assert_failed(failed, "candidate_failed", "GET /health answered 500, expected 200-399")


async def test_a_redirect_is_healthy_and_is_not_followed(tenant: MakeTenant) -> None:
    web = await tenant()
    await web.release("0002", "health_301")  # to /elsewhere, which answers 404
    assert await web.version() == "0002"


async def test_a_redirect_is_unhealthy_where_only_2xx_is_expected(tenant: MakeTenant) -> None:
    web = await tenant(health={"path": "/health", "within": 2, "expect": "200-299"})
    async with unharmed(web):
        failed = await web.house.ended(await web.push("0002", "health_301"))
    assert_failed(failed, "candidate_failed", "GET /health answered 301, expected 200-299")


async def test_a_release_whose_health_comes_and_goes_is_refused(tenant: MakeTenant) -> None:
    web = await tenant(health={"path": "/health", "within": 3})
    async with unharmed(web):
        failed = await web.house.ended(await web.push("0002", "flapping"))
    assert_failed(failed, "candidate_failed", "GET /health answered 503")


async def test_a_release_that_dies_of_its_health_check_is_refused(tenant: MakeTenant) -> None:
    web = await tenant()
    async with unharmed(web):
        failed = await web.house.ended(await web.push("0002", "crash_on_health"))
    assert_failed(failed, "candidate_failed", "exited with code 1")
    assert "was asked for its health" in failed["log"]


async def test_a_release_that_dies_while_it_is_watched_is_rolled_back_and_the_service_held(tenant: MakeTenant) -> None:
    web = await tenant(watch=30)
    async with web.visitors() as report:
        found = await web.house.ended(await web.push("0002", "dies_after=4"))
    assert (found["state"], found["error_code"]) == ("rolled_back", "candidate_failed")
    assert "0002 did not stay healthy" in found["error"]
    assert "its time has come" in found["log"]
    returned = datetime.fromisoformat(found["finished_at"]).timestamp()
    assert returned - report.versions["0002"].last < 3
    assert "0002 was returned by itself" in (await web.shown())["hold"]["reason"]
    async with unharmed(web, good=False):
        held = await web.house.ended(await web.push(GOOD))
        assert (held["state"], "is on hold by o8" in held["error"]) == ("held", True)
    await web.house.call("DELETE", f"/services/{web.name}/hold")
    await web.serves((await web.newest())["id"])
    assert await web.version() == GOOD


async def test_an_old_release_that_ignores_sigterm_is_killed_and_the_deployment_succeeds(tenant: MakeTenant) -> None:
    web = await tenant(fault="ignores_sigterm", stop_timeout=2)
    async with web.visitors() as report:
        found = await web.house.ended(await web.push("0002"))
        assert found["state"] == "succeeded"

        async def old_ones() -> bool:
            return [c.state for c in await web.containers() if c.slot != found["slot"]] == ["exited"]

        await until(old_ones, 10)
    assert_nothing_lost(report)
    assert await web.version() == "0002"


async def test_a_first_release_that_fails_leaves_nothing_and_a_good_one_serves(tenant: MakeTenant) -> None:
    web = await tenant(first="")
    failed = await web.house.ended(await web.push("0001", "exit1"))
    assert_failed(failed, "candidate_failed", "exited with code 1")
    assert await web.containers() == []
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await web.version()
    await web.release("0002")
    assert await web.version() == "0002"


async def test_a_first_release_that_dies_while_it_is_watched_needs_attention(tenant: MakeTenant) -> None:
    web = await tenant(first="", watch=30)
    found = await web.house.ended(await web.push("0001", "dies_after=2"))
    assert (found["state"], "No earlier release exists" in found["error"]) == ("needs_attention", True)
    assert "0001 is what nginx points to" in found["error"]
    await web.release("0002")
    assert await web.version() == "0002"
