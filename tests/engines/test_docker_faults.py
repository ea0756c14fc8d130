"""A private Docker daemon is frozen, killed and started again in the middle of things."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing

import pytest

from bot.engines.docker import DockerEngine
from bot.errors import EngineUnavailable
from lab.images import Image
from lab.private_engine import PrivateEngine
from lab.waiting import until
from tests.engines.contract import LOOP, PATIENCE_S, only, workload

pytestmark = pytest.mark.parts
END_S = 30.0


async def test_a_frozen_daemon_is_unavailable_in_time_and_heals(
    engine: DockerEngine, daemon: PrivateEngine, image: Image, service_name: str
) -> None:
    await engine.start(workload(image, service_name))
    daemon.freeze()
    try:
        began = time.monotonic()
        # More calls than threads: those that wait for a thread must end in time, too.
        results = await asyncio.gather(*(engine.observe() for _ in range(20)), return_exceptions=True)
        assert {type(result) for result in results} == {EngineUnavailable}
        assert time.monotonic() - began < 2 * PATIENCE_S
    finally:
        daemon.thaw()

    async def is_back() -> bool:
        try:
            return (await only(engine, service_name)).state == "running"
        except EngineUnavailable:
            return False

    assert await until(is_back)


async def test_a_daemon_killed_in_the_middle_of_a_call_is_unavailable(
    engine: DockerEngine, daemon: PrivateEngine, image: Image, service_name: str
) -> None:
    await engine.start(workload(image, service_name, script="trap '' TERM; while :; do sleep 0.1; done"))
    stopping = asyncio.create_task(engine.stop(service_name, "a", 60))
    await asyncio.sleep(0.3)
    assert not stopping.done()
    daemon.kill()
    with pytest.raises(EngineUnavailable):
        await asyncio.wait_for(stopping, END_S)
    with pytest.raises(EngineUnavailable):
        await engine.observe()
    daemon.start()
    assert (await only(engine, service_name)).state == "exited"  # by the daemon, as it starts: no live-restore
    await engine.resume(service_name, "a")
    assert (await only(engine, service_name)).state == "running"


async def test_changes_go_on_when_the_daemon_was_killed_and_started(
    engine: DockerEngine, daemon: PrivateEngine, image: Image, service_name: str
) -> None:
    async with aclosing(engine.changes()) as changes:
        assert await anext(changes) == ("", "connected")
        daemon.kill()
        waiting = asyncio.ensure_future(anext(changes))
        await asyncio.sleep(0.5)
        assert not waiting.done()  # nothing is told while there is no daemon
        daemon.start()
        assert await asyncio.wait_for(waiting, END_S) == ("", "connected")
        await engine.start(workload(image, service_name))
        assert await asyncio.wait_for(anext(changes), END_S) == (service_name, "start")


async def test_a_followed_log_says_that_the_daemon_died(
    engine: DockerEngine, daemon: PrivateEngine, image: Image, service_name: str
) -> None:
    await engine.start(workload(image, service_name, script=f"echo ready; {LOOP}"))
    replica = await only(engine, service_name)
    lines = engine.log(replica.id, tail=None, since=None, follow=True, timestamps=False)
    assert await anext(lines) == b"ready"
    daemon.kill()
    with pytest.raises(EngineUnavailable):
        await asyncio.wait_for(anext(lines), END_S)
    daemon.start()
