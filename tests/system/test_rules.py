"""When a deployment runs and when it does not: queue, places, cancelling, hold, lock, approval, policies."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest

from lab.github import Answer
from lab.house import ENDINGS, Refused
from lab.registry_proxy import Manners, RegistryProxy, Spoilt
from lab.tenant import Tenant
from tests.system.checks import assert_nothing_lost, unharmed
from tests.system.conftest import MakeTenant

pytestmark = [pytest.mark.parts, pytest.mark.asyncio(loop_scope="module")]
AT_WORK = ("resolving", "pulling", "starting", "checking", "switching")
SLOW = {"path": "/health", "within": 3}


async def test_the_newest_of_several_waiting_pushes_wins(tenant: MakeTenant) -> None:
    web = await tenant()
    second, third, fourth = await web.make("0002", "listens_after=3"), await web.make("0003"), await web.make("0004")
    async with web.visitors() as report:
        active = await web.accepted(second)
        await web.house.reached(active, ["checking"])
        waiting = await web.accepted(third)
        assert (await _of(web, waiting))["state"] == "queued"
        newest = await web.accepted(fourth)
        assert (await _of(web, waiting))["state"] == "superseded"
        await web.serves(newest)
        assert await web.version() == "0004"
    assert (await _of(web, active))["state"] == "succeeded"
    assert list(report.versions)[:2] == ["0001", "0002"] and "0003" not in report.versions
    assert_nothing_lost(report)


async def test_two_deployments_come_up_at_a_time_and_a_watched_one_holds_no_place(tenant: MakeTenant) -> None:
    watched = await tenant(watch=60)
    await watched.house.reached((await watched.newest())["id"], ["watching"])
    others = [await tenant(health=SLOW) for _ in range(3)]
    images = [await web.make("0002", "never_listens") for web in others]
    deployments = [await web.accepted(image) for web, image in zip(others, images, strict=True)]
    at_once: list[int] = []

    async def all_ended() -> bool:
        states = [(await _of(others[0], id))["state"] for id in deployments]
        at_once.append(sum(state in AT_WORK for state in states))
        return all(state in ENDINGS for state in states)

    await watched.house.until(all_ended, 60)
    assert max(at_once) == 2
    assert (await watched.newest())["state"] == "watching"


@pytest.mark.parametrize("state", ["waiting", "queued", "resolving", "pulling", "starting", "checking"])
async def test_a_deployment_can_be_cancelled_until_it_switches(
    tenant: MakeTenant, registry: RegistryProxy, state: str
) -> None:
    web = await tenant(replicas=6 if state == "starting" else 1)
    async with unharmed(web, good=False):
        for deployment in await _brought_to(web, registry, state):
            await web.house.post(f"/deployments/{deployment}/cancel")
            ended = await web.house.ended(deployment, 10)
            assert (ended["state"], "ancelled by" in ended["error"]) == ("cancelled", True)
    registry.heal(web.repository)
    await web.serves((await web.house.deploy(web.name, (await web.make("0009")).tag))["id"])


async def _brought_to(web: Tenant, registry: RegistryProxy, state: str) -> list[int]:
    """Deployments, of which the first is in `state`; the others have to be cancelled after it."""
    if state == "waiting":
        await web.apply(follow={"auto_deploy": "approve"})
    if state == "resolving":
        registry.spoil_always(web.repository, Spoilt(404))
    if state == "pulling":
        registry.behave(web.repository, Manners(bytes_per_s=100_000))
    makes = web.make_large("0002") if state == "pulling" else web.make("0002", "never_listens")
    first = await web.accepted(await makes)
    if state != "queued":
        await web.house.reached(first, [state])
        return [first]
    await web.house.reached(first, ["checking"])
    return [await web.push("0003"), first]


async def test_a_deployment_that_has_switched_cannot_be_cancelled(tenant: MakeTenant) -> None:
    web = await tenant(watch=60)
    deployment = (await web.release("0002"))["id"]
    with pytest.raises(Refused) as refused:
        await web.house.post(f"/deployments/{deployment}/cancel")
    assert refused.value.status == 409
    assert "rollback" in refused.value.problem["next_step"]
    assert await web.version() == "0002"


async def test_a_held_service_records_pushes_and_deploys_the_newest_when_it_is_resumed(tenant: MakeTenant) -> None:
    web = await tenant()
    await web.house.call("PUT", f"/services/{web.name}/hold", {"reason": "exams are on"})
    async with unharmed(web, good=False):
        held = [await web.house.ended(await web.push(tag)) for tag in ("0002", "0003")]
    assert {d["state"] for d in held} == {"held"}
    assert "exams are on" in held[0]["error"]
    assert f"o8 resume {web.name}" in held[0]["next_step"]
    await web.house.call("DELETE", f"/services/{web.name}/hold")
    await web.serves((await web.newest())["id"])
    assert await web.version() == "0003"


async def test_a_person_may_deploy_to_a_held_service(tenant: MakeTenant) -> None:
    web = await tenant()
    await web.house.call("PUT", f"/services/{web.name}/hold", {"reason": "exams are on"})
    image = await web.make("0002")
    await web.serves((await web.house.deploy(web.name, image.tag))["id"])
    assert await web.version() == "0002"


async def test_nobody_deploys_to_a_locked_service_until_the_lock_expires(tenant: MakeTenant) -> None:
    web = await tenant()
    await web.house.call("PUT", f"/services/{web.name}/lock", {"reason": "migration", "seconds": 60})
    image = await web.make("0002")
    with pytest.raises(Refused) as refused:
        await web.house.deploy(web.name, image.tag)
    assert refused.value.status == 409
    assert "migration" in refused.value.problem["detail"]
    assert (await web.house.ended(await web.accepted(image)))["state"] == "held"
    _let_a_minute_pass(web)
    await web.serves((await web.house.deploy(web.name, image.tag))["id"])
    assert (await web.shown())["lock"] is None


async def test_an_unlocked_service_deploys_again(tenant: MakeTenant) -> None:
    web = await tenant()
    await web.house.call("PUT", f"/services/{web.name}/lock", {"reason": "migration"})
    await web.house.call("DELETE", f"/services/{web.name}/lock")
    await web.release("0002")


async def test_a_push_waits_for_approval_where_the_policy_says_so(tenant: MakeTenant) -> None:
    web = await tenant(first="", follow={"auto_deploy": "approve"})
    first = await web.push("0001")
    assert (await _of(web, first))["state"] == "waiting"
    second = await web.push("0002")
    assert (await _of(web, first))["state"] == "superseded"
    await web.house.post(f"/deployments/{second}/approve")
    await web.serves(second)
    assert await web.version() == "0002"


async def test_a_rejected_push_is_not_deployed_nor_asked_for_again(tenant: MakeTenant) -> None:
    web = await tenant(first="", follow={"auto_deploy": "approve"})
    image = await web.make("0001")
    rejected = await web.accepted(image)
    await web.house.post(f"/deployments/{rejected}/cancel")
    again = await web.announce(image, event="registry_package")
    assert again.status == 200
    assert "failed before" in again.body["ignored"][0]
    assert (await web.newest())["id"] == rejected


async def test_an_older_push_never_replaces_a_newer_release(tenant: MakeTenant) -> None:
    web = await tenant()
    older = await web.make("0002")
    await web.release("0003")
    answer = await web.announce(older)
    assert (answer.status, answer.body["accepted"]) == (200, [])
    assert "0002 is not newer than 0003" in answer.body["ignored"][0]
    assert await web.version() == "0003"


async def test_an_older_push_never_replaces_a_newer_one_that_waits(tenant: MakeTenant) -> None:
    web = await tenant()
    second, third, fourth = await web.make("0002", "listens_after=3"), await web.make("0003"), await web.make("0004")
    await web.house.reached(await web.accepted(second), ["checking"])
    waiting = await web.accepted(fourth)
    answer = await web.announce(third)
    assert "0003 is not newer than 0004, which is queued" in answer.body["ignored"][0]
    await web.serves(waiting)


async def test_a_person_may_deploy_an_older_tag(tenant: MakeTenant) -> None:
    web = await tenant()
    await web.release("0002")
    await web.serves((await web.house.deploy(web.name, "0001"))["id"])
    assert await web.version() == "0001"


async def test_deploying_what_is_live_already_is_unchanged(tenant: MakeTenant) -> None:
    web = await tenant()
    before = await web.containers()
    ended = await web.house.ended((await web.house.deploy(web.name, "0001"))["id"])
    assert ended["state"] == "unchanged"
    assert await web.containers() == before


async def test_policy_semver_follows_its_range(tenant: MakeTenant) -> None:
    web = await tenant("1.0.0", follow={"policy": "semver", "range": ">=1.0.0 <2.0.0"})
    await web.release("1.10.0")
    older = await web.announce(await web.make("1.9.0"))
    assert "1.9.0 is not newer than 1.10.0" in older.body["ignored"][0]
    for tag in ("2.0.0", "1.11.0-rc.1"):
        await _looked_up(web, await web.announce(await web.make(tag)))
    assert [d["tag"] for d in await web.deployments()] == ["1.10.0", "1.0.0"]


async def test_policy_regex_follows_the_newest_push(tenant: MakeTenant) -> None:
    web = await tenant("main-fffffff", follow={"policy": "regex", "pattern": "main-[0-9a-f]{7}"})
    await web.release("main-0000001")
    await _looked_up(web, await web.announce(await web.make("feature-0000002")))
    assert [d["tag"] for d in await web.deployments()] == ["main-0000001", "main-fffffff"]


async def test_policy_tag_deploys_each_new_image_of_the_moving_tag(tenant: MakeTenant) -> None:
    web = await tenant("main", follow={"policy": "tag", "tag": "main"})
    moved = await web.make("main", version="second")
    await web.serves(await web.accepted(moved))
    assert await web.version() == "second"
    same = await web.announce(moved, event="registry_package")
    assert (same.status, "already" in same.body["ignored"][0]) == (200, True)


async def _of(web: Tenant, deployment: int) -> dict[str, Any]:
    return dict(await web.house.get(f"/deployments/{deployment}"))


async def _looked_up(web: Tenant, answer: Answer) -> None:
    """A tag that is not followed may have come with one that is: o8 has looked, which takes a moment."""
    assert answer.status == 202

    async def is_processed() -> bool:
        return (await web.house.get(f"/deliveries/{answer.body['delivery']}"))["processed_at"] is not None

    await web.house.until(is_processed)


def _let_a_minute_pass(web: Tenant) -> None:
    """For the lock of `web`: nobody waits that long."""
    with sqlite3.connect(web.house.data / "o8.sqlite") as database:
        database.execute(
            "UPDATE services SET lock = json_set(lock, '$.until', '2026-01-01T00:00:00Z') WHERE name = ?", [web.name]
        )
    database.close()
