"""The observer on a real Docker daemon: what it uses, and a daemon that is killed while nobody tells of anything."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from bot import observer
from bot.engines.docker import DockerEngine
from bot.observer import Observer
from lab.images import Image
from lab.private_engine import PrivateEngine
from lab.waiting import until
from tests.engines.contract import LOOP, workload

pytestmark = pytest.mark.parts
END_S = 60.0


@pytest.fixture
async def watching(engine: DockerEngine, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Observer]:
    monkeypatch.setattr(observer, "SAMPLE_S", 0.5)
    found = Observer(engine)
    task = asyncio.create_task(found.run())
    yield found
    task.cancel()
    await asyncio.wait([task])


async def until_it_shows(watching: Observer, service: str, states: list[str]) -> None:
    async def look() -> bool:
        return [replica.state for replica in watching.replicas(service)] == states

    await until(look, END_S)


async def test_work_is_seen_as_use_of_processors(
    watching: Observer, engine: DockerEngine, image: Image, service_name: str
) -> None:
    limits = {"memory": "64m", "cpus": 0.2}
    await engine.start(workload(image, service_name, script="while :; do :; done", limits=limits, replicas=2))
    await until_it_shows(watching, service_name, ["running"] * 2)

    async def is_measured() -> bool:
        now = watching.now(service_name)
        return now is not None and 0.05 < now.cpus < 1 and now.memory_limit == 2 * 64 * 1024**2

    await until(is_measured, END_S)


async def test_what_changed_while_docker_was_dead_is_known_when_it_is_back(
    watching: Observer, engine: DockerEngine, daemon: PrivateEngine, image: Image, service_name: str
) -> None:
    await engine.start(workload(image, service_name, script=LOOP))
    await until_it_shows(watching, service_name, ["running"])
    daemon.kill()
    daemon.start()  # without live-restore it ends what it finds, and told nobody
    await until_it_shows(watching, service_name, ["exited"])
    assert watching.now(service_name) is None
    await engine.resume(service_name, "a")
    await until_it_shows(watching, service_name, ["running"])
    await engine.clear(service_name, "a")
    await until_it_shows(watching, service_name, [])
