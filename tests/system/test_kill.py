"""SIGKILL at every moment of every step of a deployment: sites stay up, and the next start ends in a known state."""

from __future__ import annotations

import time
from typing import Any

import pytest

from bot.deployer import STEPS
from bot.models import AFTER_SWITCH, State
from bot.run import Moment
from lab import stopping
from lab.agreement import until_agreed
from lab.tenant import Tenant
from tests.system.alone import QUIET, VISITORS, a_tenant, release

pytestmark = [pytest.mark.parts, pytest.mark.usefixtures("engine_host")]
CONVERGED_S = 15.0
thorough = pytest.mark.thorough
# After a step's effect nothing of it is in the database yet: the hardest moment. After its commit and before the next
# one's effect are nearly the same.
HARDEST = {(state, Moment.AFTER_EFFECT) for state in STEPS} - {(State.RESOLVING, Moment.AFTER_EFFECT)}
HARDEST |= {(State.SWITCHING, Moment.BEFORE_EFFECT)}
EVERYWHERE = [
    pytest.param(state, moment, id=f"{state}-{moment}", marks=() if (state, moment) in HARDEST else thorough)
    for state in STEPS for moment in Moment
]  # fmt: skip
SOMEWHERE = [
    pytest.param(State.PULLING, Moment.AFTER_EFFECT, id="pulled", marks=thorough),
    pytest.param(State.STARTING, Moment.AFTER_EFFECT, id="started", marks=thorough),
    pytest.param(State.SWITCHING, Moment.BEFORE_EFFECT, id="not switched", marks=thorough),
    pytest.param(State.SWITCHING, Moment.AFTER_EFFECT, id="switched"),
    pytest.param(State.WATCHING, Moment.BEFORE_EFFECT, id="watching", marks=thorough),
]


async def test_every_step_of_a_deployment_is_killed_here() -> None:
    busy = {state for state in State if not state.is_ending} - {State.WAITING, State.QUEUED}
    assert set(STEPS) == busy
    async with a_tenant() as tenant:
        await tenant.house.start()
        await tenant.apply()
        ended = await tenant.house.ended((await tenant.release("0001"))["id"])
        assert [step["state"] for step in ended["steps"]] == list(STEPS)


@pytest.mark.parametrize(("state", "moment"), EVERYWHERE)
async def test_a_killed_deployment_converges_and_loses_no_request(state: State, moment: Moment) -> None:
    async with a_tenant() as tenant:
        await tenant.house.start(stopping.command(state, moment, 2))
        await tenant.apply(**QUIET)
        await release(tenant, "0001")
        await tenant.make("0002")
        async with tenant.visitors(VISITORS) as report:
            id = await killed_while_deploying(tenant)
            assert await tenant.version() == expected_after_kill(state, moment)
            ended = await converged(tenant, id)
        assert (ended["state"], ended["attempts"]) == ("succeeded", attempts_after_kill(state, moment)), ended
        assert await tenant.version() == "0002"
        assert report.failed == 0, str(report)
        assert set(report.versions) == {"0001", "0002"}


@pytest.mark.parametrize(("state", "moment"), SOMEWHERE)
async def test_a_killed_first_deployment_converges_to_serving(state: State, moment: Moment) -> None:
    async with a_tenant() as tenant:
        await tenant.house.start(stopping.command(state, moment))
        await tenant.apply(**QUIET)
        await tenant.make("0001")
        ended = await converged(tenant, await killed_while_deploying(tenant))
        assert ended["state"] == "succeeded", ended
        assert await tenant.version() == "0001"


@pytest.mark.parametrize(("state", "moment"), SOMEWHERE)
async def test_a_killed_deployment_that_stops_first_converges(state: State, moment: Moment) -> None:
    async with a_tenant() as tenant:
        await tenant.house.start(stopping.command(state, moment, 2))
        await tenant.apply(**QUIET, strategy="recreate")
        await release(tenant, "0001")
        await tenant.make("0002")
        ended = await converged(tenant, await killed_while_deploying(tenant))
        assert ended["state"] == "succeeded", ended
        assert await tenant.version() == "0002"


@pytest.mark.parametrize(("state", "moment"), SOMEWHERE)
async def test_a_killed_rollback_converges_and_loses_no_request(state: State, moment: Moment) -> None:
    async with a_tenant() as tenant:
        await tenant.house.start(stopping.command(state, moment, 3))
        await tenant.apply(**QUIET)
        await release(tenant, "0001", "0002")
        async with tenant.visitors(VISITORS) as report:
            id = await killed_while_deploying(tenant, kind="rollback")
            ended = await converged(tenant, id)
        assert ended["state"] == "succeeded", ended
        assert await tenant.version() == "0001"
        assert report.failed == 0, str(report)


@pytest.mark.parametrize(
    "state",
    [pytest.param(State.STARTING, marks=thorough), pytest.param(State.CHECKING, marks=thorough), State.SWITCHING],
)
async def test_a_deployment_killed_three_times_before_the_switch_fails_and_the_old_one_serves(state: State) -> None:
    async with a_tenant() as tenant:
        await tenant.house.start(stopping.command(state, Moment.BEFORE_EFFECT, 2))
        await tenant.apply(**QUIET)
        await release(tenant, "0001")
        await tenant.make("0002")
        async with tenant.visitors(VISITORS) as report:
            id = await killed_while_deploying(tenant)
            for _ in range(2):
                await tenant.house.start(stopping.command(state, Moment.BEFORE_EFFECT))
                await tenant.house.died()
            ended = await converged(tenant, id)
        assert (ended["state"], ended["attempts"]) == ("failed", 3), ended
        assert "o8 was stopped" in ended["error"]
        assert report.failed == 0, str(report)
        assert set(report.versions) == {"0001"}


@pytest.mark.parametrize("state", [pytest.param(State.STARTING, marks=thorough), State.DRAINING])
async def test_a_deployment_killed_twice_at_the_same_point_succeeds_with_the_third_start(state: State) -> None:
    async with a_tenant() as tenant:
        await tenant.house.start(stopping.command(state, Moment.AFTER_EFFECT, 2))
        await tenant.apply(**QUIET)
        await release(tenant, "0001")
        await tenant.make("0002")
        async with tenant.visitors(VISITORS) as report:
            id = await killed_while_deploying(tenant)
            await tenant.house.start(stopping.command(state, Moment.AFTER_EFFECT))
            await tenant.house.died()
            ended = await converged(tenant, id)
        assert ended["state"] == "succeeded", ended
        assert await tenant.version() == "0002"
        assert report.failed == 0, str(report)


async def test_a_release_that_dies_while_o8_is_dead_is_rolled_back_by_the_next_start() -> None:
    async with a_tenant() as tenant:
        await tenant.house.start(stopping.command(State.WATCHING, Moment.BEFORE_EFFECT, 2))
        await tenant.apply(**QUIET, watch=30)
        await tenant.make("0001")
        await tenant.serves((await tenant.house.deploy(tenant.name, "0001"))["id"])
        await tenant.make("0002", fault="dies_after=6")
        ended = await converged(tenant, await killed_while_deploying(tenant), 30)
        assert ended["state"] == "rolled_back", ended
        assert await tenant.version() == "0001"


async def test_the_visitors_of_these_tests_notice_a_lost_release() -> None:
    """The control: a killed container must be seen, or the zeros above say nothing."""
    async with a_tenant() as tenant:
        await tenant.house.start()
        await tenant.apply(restart="no")
        await release(tenant, "0001")
        async with tenant.visitors(VISITORS) as report:
            await tenant.by_hand("kill")
            await tenant.house.until(lambda: has_failures(report))
        assert report.failed > 0


async def killed_while_deploying(tenant: Tenant, kind: str = "deploy") -> int:
    """The deployment during which o8 ended itself."""
    id = int((await tenant.house.deploy(tenant.name, kind=kind))["id"])
    await tenant.house.died()
    return id


async def converged(tenant: Tenant, id: int, within_s: float = CONVERGED_S) -> dict[str, Any]:
    """Deployment `id` after the next normal start, when everything agrees again. All of it within the limit."""
    give_up = time.monotonic() + within_s
    await tenant.house.start()
    ended = await tenant.house.ended(id, give_up - time.monotonic())
    await until_agreed(tenant, give_up - time.monotonic())
    return ended


def expected_after_kill(state: State, moment: Moment) -> str:
    """The flag is the switch."""
    return "0002" if has_switched(state, moment) else "0001"


def attempts_after_kill(state: State, moment: Moment) -> int:
    """Before the switch everything is done again; after it o8 goes on where it was."""
    return 1 if has_switched(state, moment) else 2


def has_switched(state: State, moment: Moment) -> bool:
    return state in AFTER_SWITCH or (state is State.SWITCHING and moment is not Moment.BEFORE_EFFECT)


async def has_failures(report: Any) -> bool:
    return bool(report.failed)
