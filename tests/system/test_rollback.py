"""Ways back: quick, without the network, with configuration and environment, and not undone by the next push."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest

from lab.house import Refused
from lab.registry_proxy import RegistryProxy, Spoilt
from lab.tenant import Tenant
from tests.system.checks import assert_nothing_lost
from tests.system.conftest import MakeTenant

pytestmark = [pytest.mark.parts, pytest.mark.asyncio(loop_scope="module")]


async def test_a_rollback_takes_the_kept_containers_and_needs_no_registry(
    tenant: MakeTenant, registry: RegistryProxy
) -> None:
    web = await tenant()
    first = (await web.serving())[0].id
    await _settled(web, "0002")
    registry.spoil_always(web.repository, Spoilt())
    async with web.visitors() as report:
        back = await _rolled_back(web)
    assert _step(back, "starting")["is_kept"] is True
    assert [c.id for c in await web.serving()] == [first]
    assert_nothing_lost(report)
    assert list(report.versions) == ["0002", "0001"]


async def test_a_rollback_over_several_releases_takes_the_image_from_the_disk(
    tenant: MakeTenant, registry: RegistryProxy
) -> None:
    web = await tenant()
    await _settled(web, "0002")
    await _settled(web, "0003")
    registry.spoil_always(web.repository, Spoilt())
    async with web.visitors() as report:
        back = await _rolled_back(web, "0001")
    assert _step(back, "pulling") == {"is_cached": True}
    assert "is_kept" not in _step(back, "starting")
    assert await web.version() == "0001"
    assert_nothing_lost(report)


async def test_a_rollback_during_the_watch_is_the_flag_alone(tenant: MakeTenant) -> None:
    web = await tenant(watch=60)
    first = await web.started_at()
    await web.house.reached((await web.release("0002"))["id"], ["watching"])
    async with web.visitors() as report:
        back = await web.serves((await web.house.deploy(web.name, kind="rollback"))["id"])
        assert await web.version() == "0001"  # at once
    assert _step(back, "starting")["is_kept"] is True
    assert await web.started_at() == first
    assert_nothing_lost(report)


async def test_a_rollback_restores_configuration_and_environment(tenant: MakeTenant) -> None:
    web = await tenant(first="")
    await web.house.call("PATCH", f"/services/{web.name}/environment", {"set": {"COLOUR": "blue"}})
    first = (await web.release("0001"))["id"]
    await web.apply(domains=[f"new.{web.host}"])
    await web.house.call("PATCH", f"/services/{web.name}/environment", {"set": {"COLOUR": "red"}})
    await web.release("0002")
    assert "COLOUR=red" in await web.variables()
    assert (await web.house.visit(f"new.{web.host}"))[0] == 200
    await _rolled_back(web, f"#{first}")  # 0001 alone would be its newest configuration
    assert "COLOUR=blue" in await web.variables()
    assert await web.version() == "0001"
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await web.house.visit(f"new.{web.host}")


async def test_a_rollback_is_not_undone_by_the_next_push_but_by_resuming(tenant: MakeTenant) -> None:
    web = await tenant()
    await _settled(web, "0002")
    await _rolled_back(web)
    assert "rollback to 0001" in (await web.shown())["hold"]["reason"]
    held = await web.house.ended(await web.push("0003"))
    assert held["state"] == "held"
    assert await web.version() == "0001"
    await web.house.call("DELETE", f"/services/{web.name}/hold")
    await web.serves((await web.newest())["id"])
    assert await web.version() == "0003"


async def test_two_rollbacks_go_two_releases_back(tenant: MakeTenant) -> None:
    web = await tenant()
    await _settled(web, "0002")
    await _settled(web, "0003")
    await _rolled_back(web)
    assert await web.version() == "0002"
    await _rolled_back(web)
    assert await web.version() == "0001"


async def test_without_an_earlier_release_there_is_no_way_back(tenant: MakeTenant) -> None:
    web = await tenant()
    with pytest.raises(Refused) as refused:
        await web.house.deploy(web.name, kind="rollback")
    assert (refused.value.status, "no earlier release" in refused.value.problem["detail"]) == (409, True)
    assert await web.version() == "0001"


async def _settled(web: Tenant, tag: str) -> None:
    """`tag` serves, and the release before it is stopped."""
    await web.house.ended((await web.release(tag))["id"])

    async def is_settled() -> bool:
        return [c.state for c in await web.containers()].count("running") == 1

    await web.house.until(is_settled)


async def _rolled_back(web: Tenant, release: str = "") -> dict[str, Any]:
    deployment = await web.house.deploy(web.name, release, kind="rollback")
    await web.serves(deployment["id"])
    return await web.house.ended(deployment["id"])


def _step(deployment: dict[str, Any], state: str) -> dict[str, Any]:
    """What a step of it found."""
    return dict(next(step["detail"] for step in deployment["steps"] if step["state"] == state))
