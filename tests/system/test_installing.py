"""From a package that nobody uses to a service that serves, with real parts: by a push alone, and by one command."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from lab import github
from lab.house import LIVE, House, house
from lab.images import Image, busybox_image, forget
from lab.registry import PASSWORD, USER

pytestmark = [pytest.mark.parts, pytest.mark.asyncio(loop_scope="module")]

CHECKED = "HEALTHCHECK --interval=1s --timeout=3s CMD wget -q -O /dev/null http://127.0.0.1:9000/"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def home(engine_host: str) -> AsyncIterator[House]:
    async with house(GITHUB_AUTO_INSTALL="acme", BASE_DOMAIN="o8.test") as home:
        yield await home.start()


async def push(home: House, name: str, tag: str, *says: str) -> Image:
    """A web server on port 9000 whose Dockerfile ends with `says`, in the registry alone."""
    made = await asyncio.to_thread(
        busybox_image, home.engine_host, home.registry.image(name), tag, changes=says,
        environment={"PORT": "9000", "VERSION": f"{name} {tag}"}, account=(USER, PASSWORD),
    )  # fmt: skip
    await asyncio.to_thread(forget, home.engine_host, made)
    return made


async def announce(home: House, image: Image, event: str = "package", secret: str = "") -> github.Answer:
    body = github.push(image.image, image.tag, image.digest, event)
    url = f"http://127.0.0.1:{home.port}/webhooks/github"
    return await github.deliver(url, secret or home.secret, body, event=event)


async def serving(home: House, service: str) -> dict[str, Any]:
    """The newest deployment of a service that serves, once there is one."""

    async def look() -> dict[str, Any] | None:
        if service not in [s["name"] for s in await home.get("/services")]:
            return None
        found = await home.get(f"/deployments?service={service}")
        ended = [d for d in found if d["state"] in LIVE]
        assert not [d for d in found if d["state"] in ("failed", "rolled_back")], found
        return ended[0] if ended else None

    await home.until(look, 60)
    return await look() or {}


async def test_a_push_of_a_welcome_owner_serves_and_a_kill_loses_none(home: House) -> None:
    name = f"blog-{os.getpid()}"
    image = await push(home, f"acme/{name}", "0001", "EXPOSE 9000", CHECKED)
    assert (await announce(home, image, secret="not the secret of the webhook")).status == 401
    assert name not in str(await home.get("/deliveries"))
    answers = [await announce(home, image, event) for event in ("package", "registry_package")]
    assert (answers[0].status, answers[0].body["accepted"]) == (202, [name])
    live = await serving(home, name)
    assert (live["tag"], live["digest"], live["actor"]) == (
        "0001", image.digest, f"delivery:{answers[0].body['delivery']}",
    )  # fmt: skip
    assert await home.visit(f"{name}.o8.test") == (200, f"acme/{name} 0001\n")
    kept = (await home.get(f"/services/{name}"))["configuration"]
    assert (kept["port"], kept["health"]["kind"]) == (9000, "image")
    assert [s["name"] for s in await home.get("/services") if "blog" in s["name"]] == [name]
    # The next push is one as any other.
    second = await push(home, f"acme/{name}", "0002", "EXPOSE 9000", CHECKED)
    assert (await announce(home, second)).body["accepted"] == [name]
    # And another package, whose delivery was acknowledged a moment before o8 died.
    other = f"news-{os.getpid()}"
    image = await push(home, f"acme/{other}", "1.0.0", "EXPOSE 9000", 'LABEL o8.health="/" o8.memory="64m"')
    assert (await announce(home, image)).status == 202
    home.kill()
    await home.start()
    assert (await serving(home, other))["tag"] == "1.0.0"
    assert await home.visit(f"{other}.o8.test") == (200, f"acme/{other} 1.0.0\n")
    kept = (await home.get(f"/services/{other}"))["configuration"]
    assert (kept["limits"]["memory"], kept["follow"]["policy"]) == ("64m", "semver")


async def test_one_command_makes_an_image_serve(home: House) -> None:
    name = f"shop-{os.getpid()}"
    image = await push(home, f"beta/{name}", "0007", "EXPOSE 9000", CHECKED, "LABEL o8.evil=1")
    assert (await announce(home, image)).body["accepted"] == []
    told = await o8(home, "install", name, "--name", "till", "--memory", "64m")
    for line in (f"{home.registry.image(f'beta/{name}')} 0007 becomes the service till, at till.o8.test.",
                 "Port 9000 by EXPOSE.", "It is healthy when the image's HEALTHCHECK says so.",
                 "Label 'o8.evil' is none that o8 knows; it is not obeyed.", "till 0007 is live."):  # fmt: skip
        assert line in told, (line, told)
    assert await home.visit("till.o8.test") == (200, f"beta/{name} 0007\n")


async def o8(home: House, *arguments: str) -> str:
    """What a command printed that went well."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bot", "--data-dir", str(home.data), *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(90):
        output, errors = await process.communicate()
    assert process.returncode == 0, (output, errors, home.log()[-3000:])
    return output.decode()
