"""From GitHub's delivery to what serves: each push deploys once, whatever GitHub sends, repeats or loses."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from lab import github
from lab.house import House, house
from lab.tenant import Tenant
from tests.system.checks import assert_nothing_lost
from tests.system.conftest import MakeTenant, move_in

pytestmark = [pytest.mark.parts, pytest.mark.asyncio(loop_scope="module")]


async def test_a_push_is_deployed_with_the_digest_that_the_registry_has(tenant: MakeTenant) -> None:
    web = await tenant()
    image = await web.make("0002")
    answer = await web.deliver(github.push(web.image, "0002", github.digest_of("a mistake")))
    assert answer.body["accepted"] == [web.name]
    live = await web.serves((await web.newest())["id"])
    assert live["digest"] == image.digest
    assert live["actor"] == f"delivery:{answer.body['delivery']}"
    assert await web.version() == "0002"


async def test_both_events_of_one_push_deploy_once(tenant: MakeTenant) -> None:
    web = await tenant()
    image = await web.make("0002")
    answers = [await web.announce(image, event=event) for event in ("package", "registry_package")]
    assert [answer.status for answer in answers] == [202, 200]
    assert "already" in answers[1].body["ignored"][0]
    await _deployed_once(web, "0002")


async def test_a_push_for_several_platforms_deploys_once(tenant: MakeTenant) -> None:
    web = await tenant()
    await web.make("0002")
    answers = [await web.deliver(body) for body in github.multi_platform_push(web.image, "0002")]
    assert [answer.status for answer in answers] == [200, 200, 200, 202]
    assert "no tag" in answers[0].body["ignored"][0]
    await _deployed_once(web, "0002")


async def test_the_same_delivery_a_hundred_times_at_once_deploys_once(tenant: MakeTenant) -> None:
    web = await tenant()
    image, delivery = await web.make("0002"), str(uuid.uuid4())
    answers = await asyncio.gather(*(_until_taken(web, image, delivery) for _ in range(100)))
    assert Counter(answer.status for answer in answers) == {202: 1, 200: 99}
    assert sum(answer.body["ignored"] == ["duplicate"] for answer in answers) == 99
    await _deployed_once(web, "0002")
    assert (await web.house.get(f"/deliveries/{delivery}"))["duplicates"] == 99


async def test_a_replayed_body_with_a_new_id_deploys_nothing(tenant: MakeTenant) -> None:
    web = await tenant()
    image = await web.make("0002")
    body = github.push(image.image, image.tag, image.digest)
    await web.deliver(body)
    await _deployed_once(web, "0002")
    await web.serves((await web.house.deploy(web.name, "0001"))["id"])
    replayed = await web.deliver(body)
    assert (replayed.status, replayed.body["accepted"], replayed.body["ignored"]) == (200, [], ["duplicate"])
    assert await web.version() == "0001"


async def test_a_forged_delivery_is_refused_and_leaves_no_trace(tenant: MakeTenant) -> None:
    web = await tenant()
    image = await web.make("0002")
    body = github.push(image.image, image.tag, image.digest)
    url = f"http://127.0.0.1:{web.house.port}/webhooks/github"
    answer = await github.deliver(url, "not-the-secret-of-the-webhook", body)
    assert answer.status == 401
    assert [d["tag"] for d in await web.deployments()] == ["0001"]
    await web.serves(await web.accepted(image))


async def test_a_delivery_as_a_form_deploys(tenant: MakeTenant) -> None:
    web = await tenant()
    answer = await web.announce(await web.make("0002"), content_type=github.FORM)
    assert answer.body["accepted"] == [web.name]
    await _deployed_once(web, "0002")


async def test_nested_and_upper_case_names_find_their_service(home: House) -> None:
    name = f"nested-{os.getpid()}"
    web = Tenant(home, name, f"acme/team/{name}")
    await web.apply(watch=0)
    image = await web.make("0001")
    upper = web.image.replace("acme/team/nested", "ACME/Team/Nested")  # as GitHub shows them
    answer = await web.deliver(github.push(upper, "0001", image.digest))
    assert answer.body["accepted"] == [name]
    await _deployed_once(web, "0001")


async def test_a_delivery_that_names_latest_deploys_the_number_pushed_with_it(tenant: MakeTenant) -> None:
    web = await tenant()
    image = await web.make("0007")
    answer = await web.deliver(github.push(web.image, "latest", image.digest))
    assert answer.status == 202
    await web.house.until(lambda: _is_newest(web, "0007"))
    await _deployed_once(web, "0007")


async def test_deliveries_are_listed_with_their_verdicts(tenant: MakeTenant) -> None:
    web = await tenant()
    stranger = f"{web.house.environ['DOCKER_SERVER_ADDRESS']}/acme/nobodys"
    accepted = await web.announce(await web.make("0002"))
    unused = await web.deliver(github.push(stranger, "0001"))
    ping = await web.deliver(github.sample("ping"), event="ping")
    listed = {d["id"]: d for d in await web.house.get("/deliveries")}
    assert listed[accepted.body["delivery"]]["verdict"] == "accepted"
    assert listed[accepted.body["delivery"]]["accepted"] == [web.name]
    assert listed[unused.body["delivery"]]["verdict"] == "ignored"
    assert listed[unused.body["delivery"]]["ignored"] == [f"no service uses {stranger}"]
    assert listed[ping.body["delivery"]]["ignored"] == ["ping"]


@pytest_asyncio.fixture(loop_scope="module")
async def polling(engine_host: str) -> AsyncIterator[House]:
    async with house(POLL_INTERVAL="10") as home:
        yield await home.start()


async def test_a_push_whose_delivery_was_lost_is_found_by_the_next_look(polling: House) -> None:
    web = await move_in(polling)
    await web.make("0002")
    await web.house.until(lambda: _is_newest(web, "0002"), 20)
    found = await web.serves((await web.newest())["id"])
    assert (found["actor"], found["delivery"]) == ("poller", "")
    await _deployed_once(web, "0002")


async def test_a_push_while_o8_was_down_is_found_at_its_start(engine_host: str) -> None:
    async with house(POLL_INTERVAL="3600") as home:
        await home.start()
        web = await move_in(home)
        home.stop()
        async with web.visitors() as report:
            await web.make("0002")
            await home.start()
            await home.until(lambda: _is_newest(web, "0002"))
            await web.serves((await web.newest())["id"])
        assert await web.version() == "0002"
        assert_nothing_lost(report)


async def _until_taken(web: Tenant, image: Any, delivery: str) -> github.Answer:
    """As GitHub's people do: delivered again while o8 says that it is busy."""
    while (answer := await web.announce(image, delivery=delivery)).status == 503:  # noqa: ASYNC110
        await asyncio.sleep(0.1)
    return answer


async def _is_newest(web: Tenant, tag: str) -> bool:
    return bool((await web.newest())["tag"] == tag)


async def _deployed_once(web: Tenant, tag: str) -> None:
    """`tag` serves, and nothing else came of its push."""
    await web.house.ended((await web.newest())["id"])
    assert [d["state"] for d in await web.deployments() if d["tag"] == tag] == ["succeeded"]
    assert await web.version() == tag
