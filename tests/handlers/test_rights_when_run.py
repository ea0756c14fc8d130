"""Rights are asked for again when a deployment begins: what was taken away in between does not count."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.configuration import read
from bot.models import Kind, State, Wanted
from bot.permissions import GLOBAL, Action
from handlers.commands import Commands
from tests.small_house import House, open_house

pytestmark = pytest.mark.slow

A = Action
ADA, BOB = "slack:T1:UADA", "slack:T1:UBOB"
WEB = "service:web"


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """`web` can be deployed once the worker is started; ada and bob may deploy it."""
    async with open_house(tmp_path) as house:
        await house.add()
        house.registry.push("0001")
        for name in ("ada", "bob"):
            await house.services.store.grant_slack("T1", f"U{name.upper()}", name, A.DEPLOY, WEB, "o8")
        yield house


async def begin(house: House, id: int) -> tuple[State, str, str]:
    await house.services.worker.start()
    ended = await house.ended(id)
    return ended.state, ended.error_code, ended.error


def says(house: House, actor: str) -> Commands:
    return Commands(house.services, actor)


async def test_with_the_right_still_there_it_runs(house: House) -> None:
    id = (await says(house, ADA).deploy("web", "0001")).id
    assert await begin(house, id) == (State.SUCCEEDED, "", "")


@pytest.mark.parametrize("how", ["revoked", "removed", "left Slack", "linked to somebody else", "expired"])
async def test_what_somebody_asked_for_is_not_run_once_their_right_is_gone(house: House, how: str) -> None:
    id = (await says(house, ADA).deploy("web", "0001")).id
    store = house.services.store
    if how == "revoked":
        await store.revoke("ada", A.DEPLOY, WEB)
    elif how == "removed":
        await store.remove_user("ada")
    elif how == "left Slack":
        await store.set_slack_active("T1", "UADA", False)
    elif how == "linked to somebody else":
        await store.add_user("carol")
        await store.link_slack("T1", "UADA", "carol")
    else:
        await store.grant("ada", A.DEPLOY, WEB, "o8", (await store.user("ada")).created_at)
    state, code, error = await begin(house, id)
    assert (state, code) == (State.CANCELLED, "forbidden")
    assert error.endswith(" may not deploy web any more.")
    assert not await house.engine.observe("web"), "nothing was started for it"
    later = await says(house, BOB).deploy("web", "0001")  # it hinders nobody
    assert (await house.ended(later.id)).state is State.SUCCEEDED


@pytest.mark.parametrize("actor", ["delivery:1", "poller", "cli:root", "reconciler"])
async def test_what_the_machine_asked_for_is_run(house: House, actor: str) -> None:
    wish = Wanted(service="web", kind=Kind.DEPLOY, actor=actor, tag="0001")
    assert (await begin(house, (await house.services.worker.want(wish)).id))[0] is State.SUCCEEDED


@pytest.mark.parametrize(("loses", "ending"), [("ada", State.SUCCEEDED), ("bob", State.CANCELLED)])
async def test_it_runs_with_the_right_of_who_approved_it(house: House, loses: str, ending: State) -> None:
    await house.add(follow={"auto_deploy": "approve"})
    waiting = await says(house, ADA).deploy("web", "0001")
    assert waiting.state is State.WAITING
    await says(house, BOB).approve(waiting.id)
    await house.services.store.revoke(loses, A.DEPLOY, WEB)
    assert (await begin(house, waiting.id))[0] is ending


async def test_a_push_whose_approver_lost_the_right_is_asked_for_again(house: House) -> None:
    """Its release did not fail; only somebody else has to approve it."""
    await house.add(follow={"auto_deploy": "approve"})
    look = house.services.follower.look
    await look("web", actor="poller")
    (waiting,) = await house.services.store.deployments("web")
    await says(house, BOB).approve(waiting.id)
    await house.services.store.revoke("bob", A.DEPLOY, WEB)
    assert (await begin(house, waiting.id))[:2] == (State.CANCELLED, "forbidden")
    await look("web", actor="poller")
    again, _ = await house.services.store.deployments("web")
    assert (again.tag, again.state) == ("0001", State.WAITING)
    await says(house, ADA).reject(again.id, "not this one")  # the control: that is an answer about the release
    await look("web", actor="poller")
    assert len(await house.services.store.deployments("web")) == 2


async def test_an_environment_that_was_changed_with_a_right_gone_since_is_not_rolled_out(house: House) -> None:
    await house.services.worker.start()
    await house.deployed()
    await house.services.worker.stop()
    await house.services.store.grant("ada", A.EDIT_ENV, WEB, "o8")
    changed = await says(house, ADA).set_environment("web", {"A": "1"})
    assert changed is not None
    await house.services.store.revoke("ada", A.EDIT_ENV, WEB)
    assert (await begin(house, changed.id))[:2] == (State.CANCELLED, "forbidden")


# -- what waits for approval is not brought in by a side door


@pytest.mark.parametrize("door", ["restart", "environment", "configuration", "scale"])
async def test_what_waits_for_approval_is_not_brought_by_something_else(house: House, door: str) -> None:
    await house.services.worker.start()
    await house.deployed()
    await house.add(follow={"auto_deploy": "approve"})
    house.registry.found["0002"] = "sha256:" + "2" * 64
    for action in (A.EDIT_ENV, A.EDIT_CONFIGURATION, A.MANAGE):
        await house.services.store.grant("ada", action, WEB, "o8")
    mine = says(house, ADA)
    waiting = await mine.deploy("web", "0002")
    assert waiting.state is State.WAITING
    if door == "restart":
        other = await mine.restart("web")
    elif door == "environment":
        other = await mine.set_environment("web", {"A": "1"}) or waiting
    elif door == "configuration":
        changed = house.file(follow={"auto_deploy": "approve"}, limits={"memory": "64m"})
        other = (await mine.apply(read(changed))).deployment or waiting
    else:
        other = (await mine.scale("web", 2)).deployment or waiting
    assert other.id != waiting.id
    assert (await house.ended(other.id)).tag == "0001"
    assert (await house.services.store.deployment(waiting.id)).state is State.WAITING, "it waits on"
    await says(house, BOB).approve(waiting.id)
    assert (await house.ended(waiting.id)).state is State.SUCCEEDED
    live = (await house.services.store.service("web")).live
    assert live == waiting.id


async def test_what_is_approved_takes_the_place_of_a_queued_restart(house: House) -> None:
    await house.services.worker.start()
    await house.deployed()
    await house.services.worker.stop()
    await house.add(follow={"auto_deploy": "approve"})
    house.registry.found["0002"] = "sha256:" + "2" * 64
    waiting = await says(house, ADA).deploy("web", "0002")
    restart = await says(house, ADA).restart("web")
    await says(house, BOB).approve(waiting.id)
    assert (await house.services.store.deployment(restart.id)).state is State.SUPERSEDED
    assert (await begin(house, waiting.id))[0] is State.SUCCEEDED


async def test_who_may_go_round_approval_brings_what_waits(house: House) -> None:
    await house.add(follow={"auto_deploy": "approve"})
    await house.services.store.grant("bob", A.MANAGE, GLOBAL, "o8")
    waiting = await says(house, ADA).deploy("web", "0001")
    bypassed = await says(house, BOB).deploy("web", bypass=True)
    assert (bypassed.tag, bypassed.state) == ("0001", State.QUEUED)
    assert (await house.services.store.deployment(waiting.id)).state is State.SUPERSEDED


async def test_a_push_that_waits_beside_a_restart_is_not_asked_for_twice(house: House) -> None:
    await house.services.worker.start()
    await house.deployed()
    await house.add(follow={"auto_deploy": "approve"})
    house.registry.found["0002"] = "sha256:" + "2" * 64
    look = house.services.follower.look
    await look("web", actor="poller")
    (waiting, _) = await house.services.store.deployments("web")
    restart = await says(house, ADA).restart("web")
    await house.ended(restart.id)
    assert f"as deployment {waiting.id}" in await look("web", actor="poller")
    assert (await house.services.store.deployment(waiting.id)).state is State.WAITING
    assert len(await house.services.store.deployments("web")) == 3
