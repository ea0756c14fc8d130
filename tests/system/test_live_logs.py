"""Followed logs with real parts: what Docker has is what each reader gets, once and in order, whatever happens."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from subprocess import PIPE
from typing import Any

import aiohttp
import docker
import pytest

from lab.images import busybox_image
from lab.log_streams import followers
from lab.private_engine import private_engine
from lab.tenant import Container, Tenant
from lab.waiting import until
from tests.handlers.following import KINDS, Reader, StuckReader, following
from tests.system.alone import QUIET, a_tenant
from tests.system.conftest import MakeTenant

pytestmark = [pytest.mark.parts, pytest.mark.asyncio(loop_scope="module")]
COUNTS = (
    'mkdir -p /www; echo "$VERSION" > /www/index.html; httpd -p 8080 -h /www; trap "exit 0" TERM; '
    "begin=$(cut -d ' ' -f 1 /proc/uptime); "
    '(n=0; while :; do echo "$VERSION/$begin/$n"; n=$((n + 1)); usleep 4000; done) & '
    '(n=0; while :; do echo "$VERSION/$begin/error $n" >&2; n=$((n + 1)); usleep 7000; done) & wait'
)  # two outputs at once: their lines overtake one another
ENDS_S = 10.0  # without readers it takes one; with readers that are waited for, 30 and more


async def count_up(tenant: Tenant, tag: str) -> None:
    """`tag` writes numbered lines to both outputs, and serves."""
    made = await asyncio.to_thread(
        busybox_image, tenant.house.engine_host, tenant.house.registry.image(tenant.repository), tag, script=COUNTS,
        environment={"VERSION": tag}, account=tenant.account,
    )  # fmt: skip
    await tenant.only_in_registry(made)
    deployment = await tenant.serves((await tenant.house.deploy(tenant.name, tag))["id"])
    await tenant.house.ended(deployment["id"])


@asynccontextmanager
async def all_readers(tenant: Tenant) -> AsyncIterator[list[Reader]]:
    """One of each kind, and the command line; all have had a line."""
    connector = aiohttp.UnixConnector(str(tenant.house.data / "o8.sock"))
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
        readers = [
            await stack.enter_async_context(following(client, kind, service=tenant.name, tail=0)) for kind in KINDS
        ]
        readers.append(await stack.enter_async_context(terminal(tenant)))
        await asyncio.gather(*(reader.has(1) for reader in readers))
        yield readers


@asynccontextmanager
async def terminal(tenant: Tenant) -> AsyncIterator[Reader]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bot", "--data-dir", str(tenant.house.data), "logs", "-f", "-n", "0", tenant.name,
        stdout=PIPE,
    )  # fmt: skip
    reader = Reader("terminal")

    async def read() -> None:
        while process.stdout and (line := await process.stdout.readline()):
            reader.take(line.decode().removesuffix("\n"))

    reading = asyncio.create_task(read())
    try:
        yield reader
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGINT)
        await process.wait()
        await reading


def written(tenant: Tenant, container: Container) -> list[str]:
    """All that Docker has of a container's log."""
    client = docker.APIClient(tenant.house.engine_host)
    found = client.logs(container.id).decode().splitlines()
    client.close()
    return list(found)


def of(lines: list[str], tag: str) -> list[str]:
    return [line for line in lines if line.startswith(f"{tag}/")]


async def beginning_of_last(web: Tenant, container: Container) -> str:
    """What the lines of the container's last life begin with; empty before the first one."""
    lines = await asyncio.to_thread(written, web, container)
    return lines[-1].rpartition("/")[0] if lines else ""


async def have_line_of(readers: list[Reader], beginning: str, more: int = 100) -> None:
    """Each reader has so many lines that begin so."""

    async def look() -> bool:
        return all(sum(line.startswith(beginning) for line in reader.lines) >= more for reader in readers)

    await until(look, 60)


def assert_whole(read: list[str], known: list[str], *, from_first: bool = False, to_last: bool = False) -> None:
    """`read` is a piece of `known`: nothing is missing in it, nothing comes twice, the order is the same."""
    assert read
    start = known.index(read[0])
    assert read == known[start : start + len(read)]
    assert not from_first or start == 0
    assert not to_last or read[-1] == known[-1]


async def test_a_log_goes_on_over_a_switch_with_a_word_about_it(tenant: MakeTenant) -> None:
    web = await tenant(first="", health={"path": "/", "within": 20})
    await count_up(web, "0001")
    (old,) = await web.serving()
    async with all_readers(web) as readers:
        assert await asyncio.to_thread(followers, web.house.engine_host, old.id) == 1
        await count_up(web, "0002")
        (new,) = await web.serving()
        assert await asyncio.to_thread(followers, web.house.engine_host, new.id) == 1
        await have_line_of(readers, "0002/", 500)
        last = of(await asyncio.to_thread(written, web, old), "0001")[-1]
        await have_line_of(readers, last, 1)
    for reader in readers:
        assert [word for word in reader.said if "takes over" in word] == [
            f"--- 0002 takes over (deployment {new.deployment}) ---"
        ]
        assert_whole(of(reader.lines, "0001"), await asyncio.to_thread(written, web, old))
        assert_whole(of(reader.lines, "0002"), await asyncio.to_thread(written, web, new), from_first=True)


async def test_a_log_goes_on_over_a_restart_of_its_container(tenant: MakeTenant) -> None:
    web = await tenant(first="", health={"path": "/", "within": 20})
    await count_up(web, "0001")
    (container,) = await web.serving()
    async with all_readers(web) as readers:
        for _ in range(3):
            before = await beginning_of_last(web, container)
            await web.by_hand("restart", timeout=1)

            async def has_begun(before: str = before) -> str:
                now = await beginning_of_last(web, container)
                return now if now != before else ""

            await have_line_of(readers, await until(has_begun, 60))
        assert await asyncio.to_thread(followers, web.house.engine_host, container.id) == 1
    for reader in readers:
        assert_whole(reader.lines, await asyncio.to_thread(written, web, container))
        assert len({line.split("/")[1] for line in reader.lines}) == 4


async def test_a_container_that_dies_again_and_again_is_followed_through_all_its_lives(tenant: MakeTenant) -> None:
    web = await tenant(first="", health={"path": "/", "within": 20})
    await count_up(web, "0001")
    (container,) = await web.serving()
    async with all_readers(web) as readers:
        for _ in range(4):
            await web.by_hand("kill")  # Docker's restart policy starts it again

            async def runs() -> bool:
                return any(c.id == container.id and c.state == "running" for c in await web.containers())

            await web.house.until(runs)
        begin = (await asyncio.to_thread(written, web, container))[-1].rpartition("/")[0]
        await have_line_of(readers, begin)
    for reader in readers:
        assert_whole(reader.lines, await asyncio.to_thread(written, web, container))


async def test_a_log_goes_on_when_the_docker_daemon_was_killed_and_reconnects_go_on_too() -> None:
    with private_engine() as engine:
        async with a_tenant(engine) as web:
            await web.house.start()
            await web.apply(**QUIET, watch=0, health={"path": "/", "within": 20})
            await count_up(web, "0001")
            (container,) = await web.serving()
            async with all_readers(web) as readers:
                await asyncio.to_thread(engine.kill)
                await asyncio.gather(*(reader.is_told("The log goes on when that is over.") for reader in readers))
                await asyncio.to_thread(engine.start)

                async def begins_anew() -> Any:
                    lines = await asyncio.to_thread(written, web, container)
                    return len({line.split("/")[1] for line in lines}) > 1 and lines[-1]

                line = await web.house.until(begins_anew, 60)
                await have_line_of(readers, line.rpartition("/")[0])
            known = await asyncio.to_thread(written, web, container)
            for reader in readers:
                assert_whole(reader.lines, known)
            await goes_on_from(web, next(reader for reader in readers if reader.kind == "events"))
            assert "Traceback" not in web.house.log()


async def goes_on_from(web: Tenant, before: Reader) -> None:
    """Who was away while o8 was killed and started gets what came meanwhile, and nothing twice."""
    web.house.kill()
    await web.house.start()
    connector = aiohttp.UnixConnector(str(web.house.data / "o8.sock"))
    async with (
        aiohttp.ClientSession(connector=connector) as client,
        following(client, "events", service=web.name, after=before.id) as again,
    ):
        await again.has(3000)  # more than a feed begins with
    (container,) = await web.serving()
    assert_whole([*before.lines, *again.lines], await asyncio.to_thread(written, web, container))


async def test_o8_ends_at_once_while_many_read_and_some_do_not() -> None:
    async with a_tenant() as web:
        await web.house.start()
        await web.apply(**QUIET, watch=0, health={"path": "/", "within": 20})
        await count_up(web, "0001")
        socket = str(web.house.data / "o8.sock")
        connector = aiohttp.UnixConnector(socket, limit=0)
        async with aiohttp.ClientSession(connector=connector) as client, AsyncExitStack() as stack:
            stuck = [StuckReader(socket, kind, service=web.name) for kind in KINDS for _ in range(10)]
            readers = [
                await stack.enter_async_context(following(client, kind, service=web.name, tail=0))
                for kind in KINDS
                for _ in range(10)
            ]
            await asyncio.gather(*(reader.has(500) for reader in readers))
            assert web.house.process
            began = time.monotonic()
            await asyncio.to_thread(web.house.stop)
            assert time.monotonic() - began < ENDS_S
            await asyncio.gather(*(reader.ends() for reader in readers))
            for each in stuck:
                each.close()
        assert "Traceback" not in web.house.log()


async def test_the_comparison_can_fail() -> None:
    known = ["a", "b", "c", "d"]
    for read, how in (
        (["a", "c"], {}), (["a", "b", "b"], {}), (["b", "a"], {}), (["b", "c"], {"from_first": True}),
        (["b", "c"], {"to_last": True}), ([], {}),
    ):  # fmt: skip
        with pytest.raises(AssertionError):
            assert_whole(read, known, **how)
    assert_whole(known, known, from_first=True, to_last=True)
