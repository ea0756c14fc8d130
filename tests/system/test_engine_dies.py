"""The Docker daemon dies or hangs in the middle of a deployment, and the machine loses its power.

Daemon, registry, o8 and nginx are in a network of their own; the daemon of this machine is left alone.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from lab.agreement import until_agreed
from lab.private_engine import PrivateEngine, private_engine
from lab.tenant import Tenant
from tests.system.alone import QUIET, a_tenant, release, serves

pytestmark = pytest.mark.parts
CONVERGED_S = 30.0
FROZEN_S = 5.0
STATES = ("pulling", "starting", "checking", "watching")
Death = Callable[[PrivateEngine], Awaitable[None]]


async def killed(engine: PrivateEngine) -> None:
    """Containers are left behind; without live-restore the next daemon ends them and starts those that should run."""
    await asyncio.to_thread(engine.kill)
    await asyncio.to_thread(engine.start)


async def stopped(engine: PrivateEngine) -> None:
    """As for an upgrade: the daemon stops all containers, and starts them with itself."""
    await asyncio.to_thread(engine.stop)
    await asyncio.to_thread(engine.start)


async def frozen(engine: PrivateEngine) -> None:
    engine.freeze()
    await asyncio.sleep(FROZEN_S)
    engine.thaw()


OFTEN = {(killed, "starting"), (killed, "watching"), (stopped, "checking")}


@pytest.mark.parametrize(("death", "state"), [
    # The others are for `make rounds`; a frozen daemon has a test of its own.
    pytest.param(death, state, id=f"{death.__name__}-{state}",
                 marks=() if (death, state) in OFTEN else pytest.mark.thorough)
    for death in (killed, stopped, frozen) for state in STATES
])  # fmt: skip
async def test_a_deployment_converges_after_the_daemon(death: Death, state: str) -> None:
    async with at_work() as (tenant, engine):
        newer = await make_slow(tenant, state)
        id = (await tenant.house.deploy(tenant.name))["id"]
        await tenant.house.reached(id, STATES[STATES.index(state) :])
        await death(engine)
        ended = await tenant.house.ended(id, CONVERGED_S)
        assert ended["state"] in ("succeeded", "failed"), (ended["state"], ended["error"])
        assert ended["state"] == "succeeded" or ended["error"]
        await until_agreed(tenant, CONVERGED_S)
        await serves(tenant, newer if ended["state"] == "succeeded" else "0001")
        assert_o8_lives(tenant)


async def test_frozen_daemon_interrupts_no_site() -> None:
    async with at_work() as (tenant, engine):
        engine.freeze()
        try:
            assert await tenant.version() == "0001"
        finally:
            engine.thaw()
        await release(tenant, "0002")


async def test_services_serve_again_after_a_power_cut_without_a_person() -> None:
    async with at_work() as (tenant, engine):
        await release(tenant, "0002")
        await power_cut(tenant, engine)
        await asyncio.to_thread(engine.start)
        await tenant.house.start()
        await serves(tenant, "0002", CONVERGED_S)
        await until_agreed(tenant, CONVERGED_S)


async def test_o8_may_start_before_docker_does() -> None:
    async with at_work() as (tenant, engine):
        await power_cut(tenant, engine)
        await tenant.house.start()
        await serves(tenant, "502")  # nginx is there already, and nothing behind it
        await asyncio.to_thread(engine.start)
        await serves(tenant, "0001", CONVERGED_S)
        await until_agreed(tenant, CONVERGED_S)


async def test_a_power_cut_in_the_middle_of_a_deployment_is_no_matter() -> None:
    async with at_work() as (tenant, engine):
        await tenant.make("0002", fault="listens_after=3")
        id = (await tenant.house.deploy(tenant.name))["id"]
        await tenant.house.reached(id, ["checking"])
        await power_cut(tenant, engine)
        await asyncio.to_thread(engine.start)
        await tenant.house.start()
        ended = await tenant.house.ended(id, CONVERGED_S)
        assert ended["state"] == "succeeded", ended
        await serves(tenant, "0002")
        await until_agreed(tenant)


@asynccontextmanager
async def at_work() -> AsyncIterator[tuple[Tenant, PrivateEngine]]:
    """A service whose release 0001 serves."""
    with private_engine() as engine:
        async with a_tenant(engine) as tenant:
            await tenant.house.start()
            await tenant.apply(**QUIET, watch=4, health={"path": "/", "within": 20})
            await release(tenant, "0001")
            yield tenant, engine


async def make_slow(tenant: Tenant, state: str) -> str:
    """Pushes a release that stays in `state` for a while; returns the version it will say."""
    if state == "pulling":
        await tenant.make_large("0002", 64 << 20)
        return ""
    await tenant.make("0002", fault="listens_after=2")
    return "0002"


async def power_cut(tenant: Tenant, engine: PrivateEngine) -> None:
    """Everything ends at once. Afterwards the machine is on, with its registry but without Docker, nginx and o8."""
    tenant.house.kill()
    for pid in tenant.house.nginx_pids():
        os.kill(pid, signal.SIGKILL)
    await asyncio.to_thread(engine.power_off)
    engine.power_on()
    await asyncio.to_thread(engine.registry)


def assert_o8_lives(tenant: Tenant) -> None:
    assert tenant.house.process and tenant.house.process.poll() is None
    assert "fault inside o8" not in tenant.house.log()
    assert "Traceback" not in tenant.house.log()
