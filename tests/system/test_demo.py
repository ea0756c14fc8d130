"""The demo is a promise of its own: it ends by itself, in time, and says truthfully what was seen."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import docker
import pytest

ROOT = Path(__file__).parents[2]
LIMIT_S = 150  # a minute alone; tests run beside each other

pytestmark = pytest.mark.parts


async def test_the_demo_shows_every_act_without_a_failed_request(engine_host: str) -> None:
    code, output = await _demo()
    assert code == 0, output
    assert re.fullmatch(r"demo: [1-9][0-9]{3,} requests, 0 failed", output.splitlines()[-1])
    assert "SIGKILL" in output and "cannot read the settings" in output


async def test_the_demo_fails_when_visitors_are_not_answered(engine_host: str) -> None:
    """The control: everything as before, but the visitors ask for a site that nobody serves."""
    code, output = await _demo("--host", "nobody.test")
    found = re.fullmatch(r"demo: ([0-9]+) requests, ([0-9]+) failed", output.splitlines()[-1])
    assert code == 1 and found and found[1] == found[2] != "0", output


async def test_ctrl_c_in_the_middle_leaves_nothing_behind(engine_host: str) -> None:
    async with _running() as demo:
        assert demo.stdout
        output = b""
        while b"Visitors come" not in output:
            output += await demo.stdout.readline()
        assert _left_of(engine_host, demo.pid)
        demo.send_signal(signal.SIGINT)
        rest, _ = await demo.communicate()
    assert demo.returncode == 1 and rest.splitlines()[-1].startswith(b"demo: ")
    assert not _left_of(engine_host, demo.pid)


async def _demo(*options: str) -> tuple[int, str]:
    """Exit code and output of `make demo ONCE=1`."""
    async with _running("--once", *options) as demo:
        output, _ = await demo.communicate()
        return demo.returncode or 0, output.decode()


@asynccontextmanager
async def _running(*options: str) -> AsyncIterator[Process]:
    command = (sys.executable, "-m", "lab.demo", *options)
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=PIPE, stderr=STDOUT)
    try:
        async with asyncio.timeout(LIMIT_S):
            yield process
    finally:
        if process.returncode is None:
            process.terminate()
            await process.communicate()


def _left_of(host: str, pid: int) -> list[str]:
    """Containers and images of the demo with this process id; its names carry that."""
    client = docker.APIClient(host)
    try:
        containers = [name for each in client.containers(all=True) for name in each["Names"]]
        images = [tag for each in client.images() for tag in each["RepoTags"] or ()]
    finally:
        client.close()
    return [name for name in containers + images if f"demo-{pid}-" in name or f"/demo-{pid}:" in name]
