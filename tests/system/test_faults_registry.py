"""What a registry can do to a deployment; the old release serves throughout."""

from __future__ import annotations

import asyncio
import time

import pytest

from lab import push
from lab.house import House, house
from lab.images import Image
from lab.registry import PASSWORD
from lab.registry_proxy import Manners, RegistryProxy, Spoilt, registry_proxy
from lab.tenant import Tenant
from tests.system.checks import assert_failed, unharmed
from tests.system.conftest import MakeTenant, move_in

pytestmark = [pytest.mark.parts, pytest.mark.asyncio(loop_scope="module")]
ALWAYS = {
    404: ("image_not_found", "0002 is not in the registry"),
    429: ("registry_unavailable", "limits the number of requests"),
    503: ("registry_unavailable", "503"),
    0: ("registry_unavailable", "the connection broke off"),
}


async def test_a_wrong_password_fails_at_once_and_says_what_to_check(engine_host: str) -> None:
    async with house() as home:
        await home.start()
        web = await move_in(home)
        home.stop()
        home.environ["DOCKER_PASSWORD"] = "not-the-password"
        await home.start()
        async with unharmed(web, good=False):
            failed = await home.ended(await web.push("0002"))
        assert_failed(failed, "wrong_credentials", "does not accept the user name and password", "DOCKER_PASSWORD")
        home.stop()
        home.environ["DOCKER_PASSWORD"] = PASSWORD
        await home.start()
        await web.release("0003")


async def test_a_tag_that_appears_after_its_delivery_is_deployed(tenant: MakeTenant, registry: RegistryProxy) -> None:
    web = await tenant()
    image = await web.make("0002")
    registry.spoil(web.repository, Spoilt(404), times=2)
    live = await web.serves(await web.accepted(image))
    assert live["digest"] == image.digest
    assert await web.version() == "0002"


async def test_a_registry_that_is_asked_too_often_is_left_alone_for_as_long_as_it_says(
    tenant: MakeTenant, registry: RegistryProxy
) -> None:
    web = await tenant()
    image = await web.make("0002")
    registry.spoil(web.repository, Spoilt(429, {"Retry-After": "4"}), times=1)
    began = time.monotonic()
    await web.serves(await web.accepted(image))
    assert time.monotonic() - began > 4


async def test_an_image_for_another_platform_is_refused(tenant: MakeTenant) -> None:
    web = await tenant()
    digest = await asyncio.to_thread(
        push.push, web.house.registry, web.repository, "0002", platforms=("linux/s390x", "linux/ppc64le")
    )
    async with unharmed(web):
        failed = await web.house.ended(await web.accepted(Image(web.image, "0002", digest)))
    assert_failed(failed, "wrong_platform", "linux/s390x", "buildx")


async def test_an_image_that_arrives_damaged_is_refused(tenant: MakeTenant, registry: RegistryProxy) -> None:
    web = await tenant()
    image = await web.make_large("0002")
    async with unharmed(web):
        registry.behave(web.repository, Manners(is_corrupt=True))
        failed = await web.house.ended(await web.accepted(image))
        registry.heal(web.repository)
    assert_failed(failed, "pull_failed", "verification failed", "")


async def test_a_connection_that_is_cut_during_the_pull_fails_the_deployment(
    tenant: MakeTenant, registry: RegistryProxy
) -> None:
    web = await tenant()
    image = await web.make_large("0002")
    async with unharmed(web):
        registry.behave(web.repository, Manners(bytes_per_s=100_000))
        deployment = await web.accepted(image)
        await web.house.reached(deployment, ["pulling"])
        registry.behave(web.repository, Manners(is_cut=True))
        registry.spoil_always(web.repository, Spoilt())
        failed = await web.house.ended(deployment)
        registry.heal(web.repository)
    assert failed["state"] == "failed"
    assert [step["state"] for step in failed["steps"]] == ["resolving", "pulling"]


@pytest.mark.thorough
@pytest.mark.timeout(200)
async def test_a_registry_that_fails_for_ninety_seconds_fails_the_deployment_with_its_reason(engine_host: str) -> None:
    async with house(O8_PLACES="8") as home:
        with registry_proxy(home.registry.address) as proxy:
            home.environ["DOCKER_SERVER_ADDRESS"] = proxy.address
            await home.start()
            pushed = {status: await _pushed(home) for status in ALWAYS}
            await asyncio.gather(*(_fails_patiently(proxy, *pushed[status], status) for status in ALWAYS))
            for web, _ in pushed.values():
                proxy.heal(web.repository)
                await web.release("0003")


async def _pushed(home: House) -> tuple[Tenant, Image]:
    web = await move_in(home)
    return web, await web.make("0002")


async def _fails_patiently(proxy: RegistryProxy, web: Tenant, image: Image, status: int) -> None:
    proxy.spoil_always(web.repository, Spoilt(status))
    async with unharmed(web, good=False):
        failed = await web.house.ended(await web.accepted(image), within_s=150)
    assert_failed(failed, *ALWAYS[status], next_step="")
    assert failed["next_step"]
