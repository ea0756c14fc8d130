"""Ten minutes down with twenty pushes: the newest of each service runs within two minutes, the others are recorded."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pytest
import pytest_asyncio

from lab import github
from lab.github_api import TOKEN, FakeGitHub, fake_github
from lab.house import House, house
from lab.registry_proxy import RegistryProxy, Spoilt, registry_proxy
from lab.tenant import Tenant
from tests.system.conftest import move_in

pytestmark = [pytest.mark.parts, pytest.mark.asyncio(loop_scope="module")]

SERVICES, PUSHES, DOWN_FOR, WITHIN_S = 3, 20, timedelta(minutes=10), 120


class Place(NamedTuple):
    home: House
    registry: RegistryProxy
    api: FakeGitHub
    tenants: list[Tenant]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def place(engine_host: str) -> AsyncIterator[Place]:
    """Three services, each with 0001 live, and a webhook at GitHub that `o8 github setup` has made."""
    with fake_github() as api:
        api.scopes |= {"admin:org_hook"}
        api.publish("acme", "other", "0001")
        async with house(POLL_INTERVAL="86400", GITHUB_PAT=TOKEN, GITHUB_OWNERS="acme") as home:
            with registry_proxy(home.registry.address) as registry:
                home.environ |= {
                    "DOCKER_SERVER_ADDRESS": registry.address, "PUBLIC_URL": f"http://127.0.0.1:{home.port}",
                    "GITHUB_API_URL": api.url,
                }  # fmt: skip
                await home.start()
                tenants = [await move_in(home) for _ in range(SERVICES)]
                said = await home.call("POST", "/github/webhook", {"owner": "acme"})
                assert [each["state"] for each in said] == ["ok", "ok"], said
                yield Place(home, registry, api, tenants)


async def outage(place: Place, first: int, pushes: int) -> dict[str, list[str]]:
    """o8 ends, `pushes` come, the first with number `first`; returns the ids of the deliveries by service."""
    place.home.stop()
    missed: dict[str, list[str]] = {tenant.name: [] for tenant in place.tenants}
    begin = datetime.now(UTC) - DOWN_FOR
    for number in range(pushes):
        tenant = place.tenants[number % SERVICES]
        image = await tenant.make(f"{first + number // SERVICES:04}")
        body = github.push(image.image, image.tag, image.digest)
        (sent,) = await place.api.pushed(body, at=begin + DOWN_FOR / pushes * number)
        assert sent.status_code == 502
        missed[tenant.name].append(sent.guid)
    return missed


async def newest_run(place: Place, tags: Sequence[str], started: float) -> None:
    """The newest tag of each service serves, in time."""
    for tenant, tag in zip(place.tenants, tags, strict=True):

        async def look(tenant: Tenant = tenant, tag: str = tag) -> bool:
            return await tenant.version() == tag

        await place.home.until(look, WITHIN_S - (time.monotonic() - started))


def newest_tags(first: int, pushes: int) -> list[str]:
    return [f"{first + len(range(n, pushes, SERVICES)) - 1:04}" for n in range(SERVICES)]


async def polled_in_vain(home: House, before: int) -> None:
    """The look at the start has failed for each service."""

    async def look() -> bool:
        return home.log().count("looking for newer tags failed") >= before + SERVICES

    await home.until(look)


async def all_arrived(place: Place, missed: dict[str, list[str]]) -> None:
    async def look() -> bool:
        listed = {each["id"] for each in await place.home.get("/deliveries?limit=100")}
        return {guid for guids in missed.values() for guid in guids} <= listed

    await place.home.until(look, WITHIN_S)


async def test_what_the_poller_does_not_find_is_asked_for_again(place: Place) -> None:
    missed = await outage(place, 2, PUSHES)
    for tenant in place.tenants:
        place.registry.spoil_always(tenant.repository, Spoilt(500))
    failures, started = place.home.log().count("looking for newer tags failed"), time.monotonic()
    await place.home.start()
    await polled_in_vain(place.home, failures)
    for tenant in place.tenants:
        place.registry.heal(tenant.repository)
    await newest_run(place, newest_tags(2, PUSHES), started)
    await all_arrived(place, missed)
    for tenant, tag in zip(place.tenants, newest_tags(2, PUSHES), strict=True):
        newest = await tenant.newest()
        assert (newest["tag"], newest["actor"]) == (tag, f"delivery:{missed[tenant.name][-1]}")
        await place.home.ended(newest["id"])
        found = {d["delivery"]: d["state"] for d in await tenant.deployments() if d["delivery"] in missed[tenant.name]}
        assert set(found) == set(missed[tenant.name]), "each of them is in the history"
        assert found.pop(missed[tenant.name][-1]) == "succeeded"
        assert "superseded" in found.values() and set(found.values()) <= {"superseded", "succeeded"}
    tries = [each.guid for each in place.api.hooks[0].tries if each.event == "package"]
    assert len(tries) == 2 * PUSHES and len(set(tries)) == PUSHES


async def test_what_may_not_be_asked_for_again_the_poller_finds(place: Place) -> None:
    place.api.scopes.discard("admin:org_hook")
    first = 100
    missed = await outage(place, first, 2 * SERVICES)
    started = time.monotonic()
    await place.home.start()
    await newest_run(place, newest_tags(first, 2 * SERVICES), started)
    known = {each["id"] for each in await place.home.get("/deliveries?limit=100")}
    assert not known & {guid for guids in missed.values() for guid in guids}
    for tenant in place.tenants:
        found = await tenant.newest()
        assert (found["tag"], found["actor"]) == ("0101", "poller")
    log = await asyncio.to_thread(place.home.log)
    assert "Missed deliveries of orgs/acme are left to polling" in log and "`admin:org_hook`" in log


@pytest.mark.thorough
async def test_when_the_poller_was_first_older_ones_are_recorded_and_not_run(place: Place) -> None:
    place.api.scopes.add("admin:org_hook")
    first = 200
    missed = await outage(place, first, 2 * SERVICES)
    started = time.monotonic()
    await place.home.start()
    await newest_run(place, newest_tags(first, 2 * SERVICES), started)
    await all_arrived(place, missed)
    for tenant in place.tenants:
        await place.home.ended((await tenant.newest())["id"])
        made = {d["delivery"]: d["state"] for d in await tenant.deployments()}
        for guid in missed[tenant.name]:
            found = await place.home.get(f"/deliveries/{guid}")
            # The poller and the delivery may come at the same moment.
            assert found["verdict"] == "ignored" or made[guid] in ("superseded", "succeeded"), found
        assert (await tenant.newest())["tag"] == await tenant.version() == "0201"
