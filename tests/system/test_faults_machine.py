"""What the machine can do to a deployment: nginx, other people's files and containers, the database, the disk."""

from __future__ import annotations

import asyncio
import socket
import sqlite3
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import docker
import pytest

from lab.house import House, house
from lab.images import at_address
from lab.private_engine import PrivateEngine, private_engine
from lab.system_nginx import system_nginx
from lab.tenant import Tenant
from tests.system.checks import GOOD, assert_failed, assert_nothing_lost, unharmed
from tests.system.conftest import MakeTenant, move_in

pytestmark = [pytest.mark.parts, pytest.mark.asyncio(loop_scope="module")]
BROKEN = "server { listen 127.0.0.1:1; no_such_directive on; }\n"


async def test_a_site_that_nginx_refuses_changes_nothing(tenant: MakeTenant) -> None:
    web = await tenant()
    before = _site(web).read_text()
    certificate = {"tls": "certificate", "certificate": "/nowhere/chain.pem", "key": "/nowhere/key.pem"}
    async with unharmed(web, good=False):
        failed = await _configured(web, site=certificate)
    assert_failed(failed, "nginx", "/nowhere/chain.pem", "")
    assert failed["steps"][-1]["state"] == "switching"
    assert _site(web).read_text() == before
    await web.apply(site={})
    await web.release(GOOD)


async def test_a_broken_file_of_somebody_else_is_named_and_not_touched(engine_host: str, tmp_path: Path) -> None:
    with system_nginx(tmp_path) as nginx:
        settings = {name.upper(): str(value) for name, value in nginx.settings().items()}
        async with house(None, **settings) as home:
            await home.start()
            web = await move_in(home)
            theirs = nginx.others / "theirs.conf"
            theirs.write_text(BROKEN)
            async with unharmed(web, good=False):
                failed = await _configured(web, domains=[web.host, f"www.{web.host}"])
            assert_failed(failed, "foreign_breakage", f"{theirs}, line 1", "left alone")
            assert theirs.read_text() == BROKEN
            await web.apply(domains=[web.host])
            await web.release("0002")  # a switch is the flag alone, so their file does not hinder it
            theirs.unlink()
            await web.serves((await web.apply(domains=[web.host, f"www.{web.host}"]))["deployment"]["id"])
            assert (await home.visit(f"www.{web.host}"))[0] == 200


async def test_a_broken_file_among_our_sites_is_named_and_not_touched(tenant: MakeTenant) -> None:
    web = await tenant()
    theirs = _site(web).with_name("theirs.conf")
    theirs.write_text(BROKEN)
    try:
        async with unharmed(web, good=False):
            failed = await _configured(web, domains=[web.host, f"www.{web.host}"])
        assert_failed(failed, "foreign_breakage", f"{theirs}, line 1", "left alone")
        assert theirs.read_text() == BROKEN
    finally:
        theirs.unlink()
    await web.apply(domains=[web.host])
    await web.release(GOOD)


async def test_a_port_that_another_program_holds_fails_the_change_and_the_old_site_serves(tenant: MakeTenant) -> None:
    web = await tenant()
    before = _site(web).read_text()
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = f"127.0.0.1:{other.getsockname()[1]}"
        async with unharmed(web, good=False, reloads=True):
            failed = await _configured(web, host_port=port)
        assert_failed(failed, "not_live", port, "end it, or choose another host_port")
        assert _site(web).read_text() == before
    await web.apply(host_port="")
    await web.release(GOOD)


async def test_a_name_that_another_container_holds_fails_the_deployment(tenant: MakeTenant) -> None:
    web = await tenant()
    async with unharmed(web, good=False), _foreign(web, name=f"o8-{web.name}-a-1"):
        failed = await web.house.ended(await web.push("0002"))
    assert_failed(failed, "engine", f"Another container holds the name o8-{web.name}-a-1", "docker rename")
    await web.release(GOOD)


async def test_an_address_that_another_container_holds_fails_the_deployment(tenant: MakeTenant) -> None:
    web = await tenant()
    address = str(await _live_address(web) - 8)  # slot a, where the candidate will be
    async with unharmed(web, good=False), _foreign(web, address=address):
        failed = await web.house.ended(await web.push("0002"))
    assert_failed(failed, "engine", f"its address {address} is taken", "docker network inspect")
    await web.release(GOOD)


async def test_a_database_that_is_busy_delays_a_deployment_and_loses_no_delivery(tenant: MakeTenant) -> None:
    web = await tenant()
    first, second = await web.make("0002", "listens_after=2"), await web.make("0003")
    async with web.visitors() as report:
        deployment = await web.accepted(first)
        await web.house.reached(deployment, ["checking"])
        with _busy(web.house):
            refused = await web.announce(second)
            assert (refused.status, (await web.newest())["id"]) == (503, deployment)  # within GitHub's ten seconds
        assert (await web.house.is_live(deployment))["error"] == ""
        await web.serves(await web.accepted(second))
    assert_nothing_lost(report)
    assert await web.version() == "0003"
    assert {d["state"] for d in await web.deployments()} <= {"succeeded", "draining"}


async def test_a_disk_that_fills_up_during_the_pull_fails_the_deployment(tmp_path: Path) -> None:
    with private_engine(disk="400m") as engine:
        async with house(engine) as home:
            await home.start()
            web = Tenant(home, "web")
            await web.apply(watch=0, follow={"auto_deploy": "off"})
            await web.make("0001")
            await web.serves((await home.deploy("web"))["id"])
            await web.make_large("0002", 60_000_000)
            async with _looks(web) as seen, _full_disk(engine):
                failed = await home.ended((await home.deploy("web"))["id"])
            assert_failed(failed, "disk_full", "no space left on device", "docker system df")
            assert set(seen) == {"0001"}
            await web.make("0003")
            await web.serves((await home.deploy("web"))["id"])
            assert await web.version() == "0003"


async def _configured(web: Tenant, **configuration: Any) -> dict[str, Any]:
    """The ending of a new configuration."""
    return await web.house.ended((await web.apply(**configuration))["deployment"]["id"])


def _site(web: Tenant) -> Path:
    return web.house.data / "nginx/sites" / f"{web.name}.conf"


async def _live_address(web: Tenant) -> IPv4Address:
    client = docker.APIClient(web.house.engine_host)
    found = client.inspect_container((await web.containers())[0].id)
    client.close()
    return IPv4Address(found["NetworkSettings"]["Networks"][web.house.environ["O8_NETWORK"]]["IPAddress"])


@asynccontextmanager
async def _foreign(web: Tenant, *, name: str | None = None, address: str = "") -> AsyncIterator[None]:
    """A container that is not o8's, of the image at hand, with a name or an address that o8 will want."""
    client = docker.APIClient(web.house.engine_host)
    place: Mapping[str, Any] = {}
    if address:
        place = at_address(client, web.house.environ["O8_NETWORK"], address)
    sleep = ["/usr/bin/python3", "-S", "-c", "import time; time.sleep(600)"]
    image = (await web.containers())[0].image
    container = client.create_container(image, sleep, name=name, networking_config=place or None)
    try:
        client.start(container)
        yield
        assert client.inspect_container(container)["State"]["Running"], "o8 touched it"
    finally:
        client.remove_container(container, force=True)
        client.close()


@contextmanager
def _busy(home: House) -> Iterator[None]:
    """Another process writes to the database meanwhile."""
    with sqlite3.connect(home.data / "o8.sqlite", isolation_level=None) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")
    connection.close()


@asynccontextmanager
async def _full_disk(engine: PrivateEngine, left: int = 30) -> AsyncIterator[None]:
    """Only `left` MB are free for Docker meanwhile."""
    fill = f'cd {engine.data} && head -c $(($(df -Pm . | awk "NR==2 {{print \\$4}}") - {left}))M /dev/zero > fill'
    await asyncio.to_thread(engine.inside(["sh", "-c", fill]).wait, 60)
    yield
    await asyncio.to_thread(engine.inside(["rm", f"{engine.data}/fill"]).wait, 60)


@asynccontextmanager
async def _looks(web: Tenant) -> AsyncIterator[list[str]]:
    """What fresh visitors get meanwhile, where `Load` cannot reach."""
    seen: list[str] = []

    async def look() -> None:
        while True:
            seen.append(await web.version())

    task = asyncio.create_task(look())
    yield seen
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
