"""From the original to o8 on one machine: its container, its nginx site, its users, by the steps that are printed."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import docker
import pytest

from lab.app.image import app_image
from lab.house import House, house
from lab.load import Load, Mix, Target
from lab.ports import free_port
from lab.registry import PASSWORD, USER
from lab.system_nginx import SystemNginx, system_nginx
from tests.cli import original
from tests.cli.conftest import REPOSITORY

pytestmark = pytest.mark.parts

# Visitors with a new connection each: nginx's reload closes idle ones, as it did whenever the original changed a site.
FRESH = Mix(get=0, post=0, slow=0, fresh=1, websocket=0)
SITE = """server {{
    listen 127.0.0.1:{http}; server_name {domain};
    location / {{ proxy_pass http://127.0.0.1:{port}; proxy_set_header Host $host; }}
}}
"""


class Machine:
    """Where the original serves `name` from a container of that name, published on `port`."""

    def __init__(self, home: House, nginx: SystemNginx, name: str, folder: Path) -> None:
        self.home, self.nginx, self.name, self.folder = home, nginx, name, folder
        self.domain, self.port = f"{name.replace('_', '-')}.test", free_port()
        self.client = docker.APIClient(home.engine_host)

    async def furnish(self, **config: Any) -> None:
        image = self.home.registry.image("acme/web")
        await asyncio.to_thread(
            app_image, self.home.engine_host, image, "0001", version="0001", account=(USER, PASSWORD)
        )
        bound = self.client.create_host_config(
            port_bindings={8080: ("127.0.0.1", self.port)}, restart_policy={"Name": "always"}
        )
        made = self.client.create_container(f"{image}:0001", name=self.name, ports=[8080], host_config=bound)
        self.client.start(made["Id"])
        original.service(self.folder, self.name, containerPort="8080", hostPort=f"127.0.0.1:{self.port}",
                         image=f"{image}:0001", environment="COLOUR=blue\n", **config)  # fmt: skip
        original.users(self.folder, [("ada", "the old password", True)])

    async def imported(self) -> list[str]:
        """The steps that `o8 import --apply` prints for it."""
        plan = json.loads(await self.run(f"o8 import {self.folder} --apply --json"))
        (found,) = plan["services"]
        return list(found["next_steps"])

    async def run(self, command: str) -> str:
        """What a command of the shell says; it must succeed."""
        bin = self.folder / "bin"
        bin.mkdir(exist_ok=True)
        (bin / "o8").write_text(f'#!/bin/sh\nexec {sys.executable} -m bot "$@"\n')
        (bin / "o8").chmod(0o755)
        environ = os.environ | {
            "PATH": f"{bin}:{os.environ['PATH']}", "O8_DATA_DIR": str(self.home.data), "PYTHONPATH": str(REPOSITORY),
            "DOCKER_HOST": self.home.engine_host,
        }  # fmt: skip
        process = await asyncio.create_subprocess_exec(
            "sh", "-ec", command, cwd=self.folder, env=environ, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        output, errors = await asyncio.wait_for(process.communicate(), 120)
        assert process.returncode == 0, (command, output, errors, self.home.log()[-3000:])
        return output.decode()

    async def state_of_the_old_one(self) -> tuple[str, str]:
        found = await asyncio.to_thread(self.client.inspect_container, self.name)
        return found["State"]["Status"], found["HostConfig"]["RestartPolicy"]["Name"]

    def close(self) -> None:
        self.client.remove_container(self.name, force=True)
        self.client.close()


@pytest.fixture
async def machine(engine_host: str, tmp_path: Path) -> AsyncIterator[Machine]:
    with system_nginx(tmp_path / "nginx") as nginx:
        settings = {name.upper(): str(value) for name, value in nginx.settings().items()}
        async with house(None, **settings) as home:
            await home.start()
            machine = Machine(home, nginx, f"original_{os.getpid()}", tmp_path / "dckr")
            yield machine
            machine.close()


@asynccontextmanager
async def visitors(machine: Machine) -> AsyncIterator[None]:
    """Not one of them may be lost."""
    load = Load(Target("127.0.0.1", machine.nginx.http_port, machine.domain), FRESH, rate=40)
    load.start()
    try:
        yield
    finally:
        report = await load.stop()
    assert report.requests > 0 and not report.failures, report.failures[:5]


async def test_a_site_moves_over_without_losing_a_visitor(machine: Machine) -> None:
    await machine.furnish(domain=machine.domain)
    site = machine.nginx.managed / f"{machine.name}.conf"  # the original used the same folder
    site.write_text(SITE.format(http=machine.nginx.http_port, domain=machine.domain, port=machine.port))
    machine.nginx.reload()
    await machine.home.until(lambda: _is_visited(machine), 20)
    async with visitors(machine):
        steps = await machine.imported()
        assert "look whether the container has volumes: " in steps[0]
        assert json.loads(await machine.run(steps[0].partition(": ")[2])) == []
        assert f"move the original's nginx file for {machine.domain}" in steps[1]
        shutil.move(site, machine.folder)
        await machine.run(steps[2])
        assert await machine.state_of_the_old_one() == ("running", "always")
        await machine.run(steps[3].partition("then: ")[2])
        assert await machine.state_of_the_old_one() == ("exited", "no")
        await machine.run(steps[4])
        assert len(steps) == 5
    name = machine.name.replace("_", "-")
    shown = await machine.home.get(f"/services/{name}")
    assert (shown["state"], shown["release"], shown["configuration"]["follow"]["auto_deploy"]) == ("live", "0001", "on")
    assert await _is_visited(machine)  # by a container of o8's: the other one is stopped
    assert f"{name}: as it is" in (await machine.run(f"o8 import {machine.folder}")).replace(f"(here: {name})", name)


async def test_while_the_originals_site_is_there_the_deployment_fails_and_it_goes_on(machine: Machine) -> None:
    """What happens to who forgets the second step."""
    await machine.furnish(domain=machine.domain)
    site = machine.nginx.others / "web.conf"
    site.write_text(SITE.format(http=machine.nginx.http_port, domain=machine.domain, port=machine.port))
    machine.nginx.reload()
    await machine.home.until(lambda: _is_visited(machine), 20)
    async with visitors(machine):
        steps = await machine.imported()
        with pytest.raises(AssertionError, match="already answers to"):
            await machine.run(steps[2])
        site.unlink()
        await machine.run(steps[2])


async def test_a_port_moves_over_and_people_keep_their_passwords(machine: Machine) -> None:
    await machine.furnish()
    await machine.home.until(lambda: _answers(machine.port), 20)
    steps = await machine.imported()
    for step in steps[1:]:
        await machine.run(step.partition("then: ")[2] or step)
    assert await machine.state_of_the_old_one() == ("exited", "no")
    assert await machine.home.until(lambda: _answers(machine.port), 20)
    name = machine.name.replace("_", "-")
    assert (await machine.home.get(f"/services/{name}"))["configuration"]["host_port"] == f"127.0.0.1:{machine.port}"
    headers = {"Authorization": aiohttp.encode_basic_auth("ada", "the old password")}
    url = f"http://127.0.0.1:{machine.home.port}/api/v1/me"
    async with aiohttp.ClientSession() as client, client.get(url, headers=headers) as answer:
        assert (answer.status, (await answer.json())["username"]) == (200, "ada")


async def _is_visited(machine: Machine) -> bool:
    try:
        return (await machine.home.visit(machine.domain))[0] == 200
    except aiohttp.ClientError:  # nginx has not yet read the original's file
        return False


async def _answers(port: int) -> bool:
    try:
        async with aiohttp.ClientSession() as client, client.get(f"http://127.0.0.1:{port}/") as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False
