"""Backups of a whole o8: put back here over what came later, and on a machine that has nothing but the backup."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import docker
import pytest

from lab.house import House, house
from lab.tenant import Tenant
from tests.cli.test_with_real_parts import o8
from tests.system.checks import assert_nothing_lost

pytestmark = pytest.mark.parts

VALUE = "canary-51f0-value"
NAME = f"kept{os.getpid()}"  # other runs have a `web` at this moment


async def furnished(home: House) -> Tenant:
    """A service with 0001, an environment, and a second service that was never deployed."""
    await home.start()
    web = Tenant(home, NAME)
    await web.make("0001")
    await web.apply()
    await web.serves((await home.deploy(NAME, "0001"))["id"])
    answer = await home.call("PATCH", f"/services/{NAME}/environment", {"set": {"TOKEN": VALUE}})
    await home.ended(answer["id"] if "id" in answer else answer["deployment"]["id"])
    await home.apply("later")
    return web


async def restored(home: House, file: Path, *more: str) -> str:
    """Restored and started again; what the command said."""
    assert home._session is not None
    await home._session.close()
    home._session = None  # its socket is another one now
    told = await o8(home, "restore", str(file), *more)
    await home.start()
    return told


async def serves(web: Tenant, version: str) -> None:
    async def look() -> bool:
        # nginx may have to be started first; and where no container is yet, a connection hangs.
        with suppress(aiohttp.ClientError, TimeoutError):
            return await asyncio.wait_for(web.version(), 3) == version
        return False

    await web.house.until(look, 60)


async def test_over_what_came_later_the_release_of_then_serves_again(engine_host: str) -> None:
    async with house() as home:
        web = await furnished(home)
        await o8(home, "hold", NAME, "--reason", "a quiet day")  # else the newer tag would be deployed at once
        file = home.folder / "all.o8"
        await o8(home, "backup", str(file))
        await web.make("0002")
        await web.serves((await home.deploy(NAME, "0002"))["id"])
        await o8(home, "rotate-key")
        await home.call("PATCH", f"/services/{NAME}/environment", {"set": {"TOKEN": "another"}})
        await home.ended((await web.newest())["id"])
        # The third since: the flag names the other slot than the backup, and nothing of 0001 runs in either.
        await web.make("0003")
        await web.serves((await home.deploy(NAME, "0003"))["id"])
        await clean(web)
        async with web.visitors() as report:
            home.stop()
            told = await restored(home, file, "--force")  # with the key that was retired
            assert "before-restore" in told
            await serves(web, "0001")
        assert_nothing_lost(report, reloads=True)
        assert set(report.versions) <= {"0003", "0001"}  # the last visitor may have been a moment too early
        assert f"TOKEN={VALUE}" in await web.variables()
        await clean(web)
        assert "SQLite finds it sound" in await o8(home, "doctor", code=await code_of_doctor(home))
        await o8(home, "resume", NAME)
        await serves(web, "0003")


async def test_a_machine_that_has_only_the_backup_serves_the_same(engine_host: str) -> None:
    async with house() as home:
        web = await furnished(home)
        file = home.folder / "all.o8"
        await o8(home, "backup", str(file), "--with-key")
        before = await home.get("/services")
        home.stop()
        await forget_everything(home)
        await restored(home, file)
        await serves(web, "0001")
        assert f"TOKEN={VALUE}" in await web.variables()
        after = await home.get("/services")
        assert [names(each) for each in after] == [names(each) for each in before]
        await clean(web)


def names(service: dict[str, Any]) -> tuple[Any, ...]:
    return service["name"], service["release"], service["configuration"]


async def clean(web: Tenant) -> None:
    """Nothing runs beside what serves, and nothing is under way."""

    async def look() -> bool:
        newest = await web.newest()
        serving = await web.serving()
        running = [each for each in await web.containers() if each.state == "running"]
        return bool(serving) and len(running) == len(serving) and newest["state"] not in ("queued", "starting")

    await web.house.until(look, 60)


async def code_of_doctor(home: House) -> int:
    return int(any(finding["state"] == "fault" for finding in await home.get("/doctor")))


async def forget_everything(home: House) -> None:
    """As another machine: no container, no image, no network, no nginx, no data folder."""
    for pid in home.nginx_pids():
        os.kill(pid, signal.SIGKILL)
    await home.until(lambda: asyncio.sleep(0, not home.nginx_pids()))
    await asyncio.to_thread(_forget, home)
    shutil.rmtree(home.data)


def _forget(home: House) -> None:
    client = docker.DockerClient(home.engine_host)
    network = client.networks.get(home.environ["O8_NETWORK"])
    network.reload()
    for id in network.attrs["Containers"]:
        client.containers.get(id).remove(force=True, v=True)
    for container in client.containers.list(all=True, filters={"network": network.id or ""}):
        container.remove(force=True)
    network.remove()
    client.close()
