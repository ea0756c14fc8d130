"""What should be comes back, whatever somebody or something did to it while o8 ran or while it was away."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import docker
import pytest

from lab import github
from lab.agreement import until_agreed
from lab.app.image import PYTHON
from lab.house import SERVE
from lab.tenant import Tenant
from tests.system.alone import QUIET, VISITORS, a_tenant, release, serves
from tests.system.conftest import MakeTenant

pytestmark = [pytest.mark.parts, pytest.mark.asyncio(loop_scope="module")]
Damage = Callable[[Tenant], Awaitable[None]]


async def remove_the_live_container(tenant: Tenant) -> None:
    await tenant.by_hand("remove_container", force=True)


async def stop_the_live_container(tenant: Tenant) -> None:
    await tenant.by_hand("stop", timeout=2)


async def kill_the_live_container(tenant: Tenant) -> None:
    await tenant.by_hand("kill")


async def add_a_container_with_our_labels(tenant: Tenant) -> None:
    """In the other slot, of a deployment that never was."""
    await stray(tenant, **{"o8.deployment": "999", "o8.slot": "a"})


async def edit_the_site(tenant: Tenant) -> None:
    site(tenant).write_text(site(tenant).read_text().replace(tenant.host, "elsewhere.test"))


async def delete_the_site(tenant: Tenant) -> None:
    site(tenant).unlink()


async def delete_the_flag(tenant: Tenant) -> None:
    flag(tenant, "b").unlink()  # where a first release lives


async def show_the_maintenance_page(tenant: Tenant) -> None:
    flag(tenant, "maintenance").touch()


DAMAGES = [
    remove_the_live_container, stop_the_live_container, kill_the_live_container, add_a_container_with_our_labels,
    edit_the_site, delete_the_site, delete_the_flag, show_the_maintenance_page,
]  # fmt: skip
by_name = pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)


@by_name
async def test_what_was_damaged_while_o8_ran_is_repaired(tenant: MakeTenant, damage: Damage) -> None:
    found = await tenant()
    await damage(found)
    if damage not in (remove_the_live_container, stop_the_live_container, kill_the_live_container):
        await look_again(found)
    await is_repaired(found)


@by_name
async def test_what_was_damaged_while_o8_was_away_is_repaired_at_its_start(tenant: MakeTenant, damage: Damage) -> None:
    found = await tenant()
    async with away(found):
        await damage(found)
    await is_repaired(found)


async def test_a_container_of_a_service_that_o8_does_not_know_is_removed(tenant: MakeTenant) -> None:
    found = await tenant()
    async with away(found):
        left = await stray(found, **{"o8.service": f"{found.name}-gone"})
    await found.house.until(lambda: is_gone(found, left))


async def test_a_container_of_another_installation_is_left_alone(tenant: MakeTenant) -> None:
    found = await tenant()
    foreign = await stray(found, **{"o8.installation": "another", "o8.service": f"{found.name}-foreign"})
    try:
        await look_again(found)  # the control: a container of ours goes
        async with away(found):
            pass
        await look_again(found)
        assert not await is_gone(found, foreign)
    finally:
        with docker_of(found) as client:
            client.remove_container(foreign, force=True)


async def test_a_service_that_was_stopped_stays_stopped_over_a_kill(tenant: MakeTenant) -> None:
    found = await tenant()
    await found.house.post(f"/services/{found.name}/stop")
    async with away(found):
        pass
    await look_again(found)
    assert await found.version() == "503"
    assert {c.state for c in await found.containers()} == {"exited"}


async def test_killing_and_stopping_o8_interrupts_no_site(tenant: MakeTenant) -> None:
    found = await tenant()
    async with found.visitors(VISITORS) as report:
        for end in (found.house.kill, found.house.stop, found.house.kill):
            await asyncio.to_thread(end)
            await found.house.start()
            await until_agreed(found)
    assert report.requests > 100
    assert report.failed == 0, str(report)


async def test_a_second_o8_on_the_same_data_refuses_and_harms_nothing(tenant: MakeTenant) -> None:
    found = await tenant()
    second = await asyncio.to_thread(
        subprocess.run, SERVE, env=os.environ | found.house.environ | {"PORT": "1"}, capture_output=True, text=True,
        timeout=20,
    )  # fmt: skip
    assert second.returncode != 0
    assert f"Another o8 is running on {found.house.data}" in second.stderr
    assert "Traceback" not in second.stderr
    await until_agreed(found)
    assert await found.version() == "0001"


async def test_a_deployment_in_the_middle_of_which_o8_is_stopped_is_picked_up() -> None:
    async with a_tenant() as tenant:
        await tenant.house.start()
        await tenant.apply(**QUIET)
        await release(tenant, "0001")
        await tenant.make("0002", fault="listens_after=4")
        async with tenant.visitors(VISITORS) as report:
            id = (await tenant.house.deploy(tenant.name))["id"]
            await tenant.house.reached(id, ["checking"])
            await asyncio.to_thread(tenant.house.stop)
            await tenant.house.start()
            ended = await tenant.house.ended(id)
        assert ended["state"] == "succeeded", ended
        assert await tenant.version() == "0002"
        await until_agreed(tenant)
        assert report.failed == 0, str(report)


async def test_a_delivery_survives_a_kill_right_after_its_acknowledgement() -> None:
    async with a_tenant() as tenant:
        await tenant.house.start()
        await tenant.apply()
        await tenant.make("0010")  # the others are known to GitHub alone, which is enough for their deliveries
        acknowledged = []
        for tag in (f"{number:04}" for number in range(1, 11)):
            answer = await tenant.deliver(github.push(tenant.image, tag))
            tenant.house.kill()
            assert answer.status == 202
            acknowledged.append(answer.body["delivery"])
            await tenant.house.start()
            newest = await tenant.newest()
            assert (newest["tag"], newest["delivery"]) == (tag, acknowledged[-1])
        known = await tenant.house.get("/deliveries?limit=50")
        assert {d["id"] for d in known if d["verdict"] == "accepted"} == set(acknowledged)
        await serves(tenant, "0010")
        await tenant.house.ended((await tenant.newest())["id"])
        await until_agreed(tenant)


async def test_a_new_database_leaves_what_runs_alone() -> None:
    async with a_tenant() as tenant:
        await tenant.house.start()
        await tenant.apply(**QUIET)
        await release(tenant, "0001")
        before = await tenant.containers()
        await asyncio.to_thread(tenant.house.stop)
        for file in tenant.house.data.glob("o8.sqlite*"):
            file.rename(tenant.house.folder / file.name)
        await tenant.house.start()
        newcomer = Tenant(tenant.house, f"{tenant.name}-new")
        await newcomer.apply(**QUIET)
        await newcomer.make("0001")
        await tenant.house.ended((await tenant.house.deploy(newcomer.name))["id"])  # whatever comes of it: o8 works
        assert await tenant.containers() == before
        assert await tenant.version() == "0001"


async def test_a_killed_nginx_is_started_again_and_serves_the_same_slots() -> None:
    async with a_tenant() as tenant:
        await tenant.house.start()
        await tenant.apply(**QUIET)
        await release(tenant, "0001", "0002")
        for pid in tenant.house.nginx_pids():
            os.kill(pid, signal.SIGKILL)
        await serves(tenant, "0002")
        await until_agreed(tenant)


async def test_the_workers_of_a_killed_nginx_are_replaced() -> None:
    """They go on serving without a master, but nobody could reload them or start one that crashes."""
    async with a_tenant() as tenant:
        await tenant.house.start()
        await tenant.apply(**QUIET)
        await release(tenant, "0001")
        master = nginx_master(tenant)
        os.kill(master, signal.SIGKILL)
        await tenant.house.until(lambda: another_master(tenant, master))
        await serves(tenant, "0001")
        await release(tenant, "0002")
        await serves(tenant, "0002")


@asynccontextmanager
async def away(tenant: Tenant) -> AsyncIterator[None]:
    """o8 is dead meanwhile."""
    tenant.house.kill()
    try:
        yield
    finally:
        await tenant.house.start()


async def is_repaired(tenant: Tenant) -> None:
    await until_agreed(tenant)
    await serves(tenant, "0001")


async def look_again(tenant: Tenant) -> None:
    """Nobody tells o8 of a changed file, so it would look within a minute; a container that ends has it look now."""
    ended = await stray(tenant, str(PYTHON), "-c", "", **{"o8.service": f"{tenant.name}-gone"})
    await tenant.house.until(lambda: is_gone(tenant, ended))


async def stray(tenant: Tenant, *command: str, **labels: str) -> str:
    """The id of a container beside the live one, with its labels but for `labels`; it runs on unless `command` ends."""
    live = (await tenant.containers())[0]
    with docker_of(tenant) as client:
        known = client.inspect_container(live.id)
        made = client.create_container(
            known["Config"]["Image"], list(command) or None, labels=known["Config"]["Labels"] | labels,
            host_config=client.create_host_config(network_mode="none"),
        )  # fmt: skip
        client.start(made)
        return str(made["Id"])


@contextmanager
def docker_of(tenant: Tenant) -> Iterator[Any]:
    client = docker.APIClient(tenant.house.engine_host)
    try:
        yield client
    finally:
        client.close()


async def is_gone(tenant: Tenant, container: str) -> bool:
    with docker_of(tenant) as client:
        return not client.containers(all=True, filters={"id": container})


async def another_master(tenant: Tenant, old: int) -> bool:
    return nginx_master(tenant) not in (0, old)


def nginx_master(tenant: Tenant) -> int:
    """0 while there is none."""
    with suppress(OSError, ValueError):
        return int((tenant.house.data / "nginx/nginx.pid").read_text())
    return 0


def site(tenant: Tenant) -> Path:
    return tenant.house.data / f"nginx/sites/{tenant.name}.conf"


def flag(tenant: Tenant, kind: str) -> Path:
    return tenant.house.data / f"nginx/slots/{tenant.name}.{kind}"
