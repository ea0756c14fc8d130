"""Changes of a running service: restart, stop, scale, configuration, environment, volumes, images on the disk."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import aiohttp
import docker
import pytest

from lab.load import Load, Target
from lab.ports import free_port
from lab.tenant import VISITORS, Tenant
from tests.system.checks import GOOD, assert_nothing_lost
from tests.system.conftest import MakeTenant

pytestmark = [pytest.mark.parts, pytest.mark.asyncio(loop_scope="module")]
VOLUME = {"name": "data", "path": "/data"}
ALONE = {"strategy": "recreate", "volumes": [VOLUME | {"exclusive": True}]}


async def test_a_restart_renews_the_containers_without_losing_a_request(tenant: MakeTenant) -> None:
    web = await tenant()
    before = await web.containers()
    async with web.visitors() as report:
        await web.house.ended((await web.house.deploy(web.name, kind="restart"))["id"])
    assert_nothing_lost(report)
    assert list(report.versions) == ["0001"]
    assert {c.id for c in await web.serving()}.isdisjoint({c.id for c in before})


async def test_a_stopped_service_shows_a_page_and_starts_again(tenant: MakeTenant) -> None:
    web = await tenant()
    await web.house.post(f"/services/{web.name}/stop")
    status, page = await web.house.visit(web.host)
    assert (status, "Back soon" in page) == (503, True)
    assert {c.state for c in await web.containers()} == {"exited"}
    held = await web.house.ended(await web.push("0002"))
    assert (held["state"], "is stopped" in held["error"]) == ("held", True)
    await web.serves((await web.house.deploy(web.name, kind="start"))["id"])
    assert await web.version() == "0001"
    assert (await web.shown())["state"] == "live"


async def test_scaling_up_and_down_costs_no_visitor_an_answer(tenant: MakeTenant) -> None:
    web = await tenant()
    async with web.visitors() as report:
        for replicas in (3, 1):
            scaled = await web.house.post(f"/services/{web.name}/scale", replicas=replicas)
            await web.house.ended(scaled["deployment"]["id"])
            hosts = {(await web.house.visit(web.host))[1] for _ in range(20)}
            assert len(hosts) == replicas
    assert_nothing_lost(report, reloads=True)


async def test_a_new_domain_serves_and_a_removed_one_does_not(tenant: MakeTenant) -> None:
    web = await tenant()
    await web.serves((await web.apply(domains=[f"new.{web.host}"]))["deployment"]["id"])
    assert (await web.house.visit(f"new.{web.host}"))[0] == 200
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await web.house.visit(web.host)


async def test_a_change_of_policy_alone_deploys_nothing(tenant: MakeTenant) -> None:
    web = await tenant()
    assert (await web.apply(follow={"auto_deploy": "off"}))["deployment"] is None
    answer = await web.announce(await web.make("0002"))
    assert "auto_deploy is off" in answer.body["ignored"][0]


async def test_a_changed_environment_is_deployed_and_reaches_the_containers(tenant: MakeTenant) -> None:
    web = await tenant()
    async with web.visitors() as report:
        changed = await web.house.call("PATCH", _environment(web), {"set": {"COLOUR": "blue", "SIZE": "xl"}})
        await web.house.ended(changed["deployment"]["id"])
        assert await web.variables() >= {"COLOUR=blue", "SIZE=xl"}
        changed = await web.house.call("PATCH", _environment(web), {"set": {"COLOUR": "red"}, "unset": ["SIZE"]})
        await web.house.ended(changed["deployment"]["id"])
    found = await web.variables()
    assert "COLOUR=red" in found
    assert not any(variable.startswith("SIZE=") for variable in found)
    assert_nothing_lost(report)


async def test_a_port_of_the_machine_keeps_working_across_a_switch(tenant: MakeTenant) -> None:
    port = free_port()
    web = await tenant(host_port=f"127.0.0.1:{port}")
    load = Load(Target("127.0.0.1", port, "any.name"), VISITORS, rate=60)
    load.start()
    await web.house.ended((await web.release("0002"))["id"])
    report = await load.stop()
    assert_nothing_lost(report)
    assert list(report.versions) == ["0001", "0002"]


async def test_a_volume_outlives_its_containers(tenant: MakeTenant) -> None:
    web = await tenant(volumes=[VOLUME])
    await _in_container(web, "open('/data/note', 'w').write('kept')")
    await web.house.ended((await web.release("0002"))["id"])
    assert await _in_container(web, "print(open('/data/note').read())") == "kept"


async def test_two_releases_never_share_an_exclusive_volume(tenant: MakeTenant) -> None:
    web = await tenant(**ALONE)
    await _in_container(web, "open('/data/note', 'w').write('kept')")
    deployment = await web.push("0002", "listens_after=2")
    seen: set[tuple[int, str]] = set()

    async def serves() -> bool:
        running = sum(c.state == "running" for c in await web.containers())
        seen.add((running, await web.version()))
        return (running, "0002") in seen

    await web.house.until(serves)
    assert max(running for running, _ in seen) == 1
    assert {version for _, version in seen} <= {"0001", "503", "0002"}
    assert "503" in {version for _, version in seen}
    await web.serves(deployment)
    assert await _in_container(web, "print(open('/data/note').read())") == "kept"


@pytest.mark.parametrize("fault", ["exit1", pytest.param("never_listens", marks=pytest.mark.thorough)])
async def test_a_failed_recreation_brings_the_old_release_back(tenant: MakeTenant, fault: str) -> None:
    web = await tenant(**ALONE, health={"path": "/health", "within": 3})
    await _in_container(web, "open('/data/note', 'w').write('kept')")
    failed = await web.house.ended(await web.push("0002", fault))
    assert (failed["state"], failed["error_code"]) == ("failed", "candidate_failed")
    async with web.visitors() as report:
        assert await _in_container(web, "print(open('/data/note').read())") == "kept"
        assert [c.state for c in await web.containers()] == ["running"]
        await asyncio.sleep(0.5)
    assert_nothing_lost(report)
    assert list(report.versions) == ["0001"]
    await web.release(GOOD)


async def test_images_beyond_the_kept_releases_leave_the_disk_and_those_of_others_stay(tenant: MakeTenant) -> None:
    neighbour = await tenant()
    web = await tenant(keep_releases=1)
    for tag in ("0002", "0003", "0004"):
        await web.house.ended((await web.release(tag))["id"])
    await web.house.until(lambda: _has_images(web, ["0003", "0004"]))  # 0003: for the container that is kept
    await web.house.ended((await web.release("0005"))["id"])
    await web.house.until(lambda: _has_images(web, ["0004", "0005"]))
    assert await _has_images(neighbour, ["0001"])


def _environment(web: Tenant) -> str:
    return f"/services/{web.name}/environment"


async def _in_container(web: Tenant, code: str) -> str:
    """What a line of Python prints in the container that serves."""
    return await asyncio.to_thread(_execute, web, (await web.serving())[0].id, code)


def _execute(web: Tenant, container: str, code: str) -> str:
    client = docker.APIClient(web.house.engine_host)
    made = client.exec_create(container, ["/usr/bin/python3", "-S", "-c", code])
    output = client.exec_start(made["Id"]).decode().strip()
    client.close()
    return str(output)


async def _has_images(web: Tenant, tags: Sequence[str]) -> bool:
    """Whether the engine has the images of exactly these releases of `web`."""
    client = docker.APIClient(web.house.engine_host)
    found = {name.partition("@")[2] for image in client.images(web.image) for name in image["RepoDigests"]}
    client.close()
    return found == {d["digest"] for d in await web.deployments() if d["tag"] in tags}
