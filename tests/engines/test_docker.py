"""The contract on a real Docker Engine, and what only Docker can get wrong."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from pathlib import Path

import docker
import pytest

from bot.engines.docker import MAX_LOGS, DockerEngine
from bot.errors import EngineError, EngineUnavailable
from lab.engine import Place
from lab.images import Image, busybox_image
from lab.registry import LabRegistry
from lab.waiting import until
from tests.engines.contract import LOOP, EngineContract, answer, ended, log_of, only, workload

pytestmark = pytest.mark.parts


def make(host: str, place: Place, volumes: Path, **options: object) -> DockerEngine:
    return DockerEngine(
        host=host,
        network=place.network,
        subnet=place.subnet,
        installation=f"test-{os.getpid()}",
        volumes_dir=volumes,
        **options,  # type: ignore[arg-type]
    )


@pytest.fixture
async def engine(engine_host: str, place: Place, tmp_path: Path) -> AsyncIterator[DockerEngine]:
    engine = make(engine_host, place, tmp_path / "volumes")
    yield engine
    for replica in await engine.observe():
        await engine.clear(replica.service, replica.slot)
    await engine.close()


@pytest.fixture
def image(web_image: Image) -> Image:
    return web_image


@pytest.fixture
def client(engine_host: str) -> Iterator[docker.APIClient]:
    """Docker without o8: to play everybody else on the machine."""
    client = docker.APIClient(engine_host)
    yield client
    client.close()


@pytest.fixture
def foreign(client: docker.APIClient, image: Image) -> Iterator[list[str]]:
    """Ids of containers that are not o8's; removed at the end."""
    made: list[str] = []
    yield made
    for container in made:
        client.remove_container(container, force=True)


class TestDocker(EngineContract):
    pass


async def test_a_name_held_by_another_container_is_named_and_that_one_untouched(
    engine: DockerEngine, client: docker.APIClient, foreign: list[str], image: Image, service_name: str
) -> None:
    name = f"o8-{service_name}-a-1"
    foreign.append(client.create_container(f"{image.image}:{image.tag}", name=name)["Id"])
    with pytest.raises(EngineError, match=f"holds the name {name}"):
        await engine.start(workload(image, service_name))
    assert client.inspect_container(name)["Id"] == foreign[0]
    assert await engine.observe() == ()


async def test_an_address_held_by_another_container_is_named(
    engine: DockerEngine,
    client: docker.APIClient,
    foreign: list[str],
    place: Place,
    image: Image,
    service_name: str,
) -> None:
    (address,) = engine.addresses(3, "a", 1, 8080)
    await engine.start(workload(image, service_name))
    await engine.clear(service_name, "a")
    endpoint = client.create_endpoint_config(ipv4_address=address.host)
    networks = client.create_networking_config({place.network: endpoint})  # type: ignore[arg-type]
    foreign.append(
        client.create_container(
            f"{image.image}:{image.tag}",
            host_config=client.create_host_config(network_mode=place.network),
            networking_config=networks,
        )["Id"]
    )
    client.start(foreign[0])
    with pytest.raises(EngineError, match=f"address {address.host} is taken"):
        await engine.start(workload(image, service_name))


async def test_the_images_of_strangers_are_named_as_they_were_asked_for(
    engine: DockerEngine, client: docker.APIClient, foreign: list[str], image: Image, service_name: str
) -> None:
    """Docker's list names only the id of an image whose tag means another one by now."""
    moving = f"{image.image}:{service_name}"
    client.tag(f"{image.image}:{image.tag}", image.image, service_name)
    wanted = {
        f"{service_name}-tag": f"{image.image}:{image.tag}", f"{service_name}-moved": moving,
        f"{service_name}-digest": f"{image.image}@{image.digest}",
    }  # fmt: skip
    for name, reference in wanted.items():
        foreign.append(client.create_container(reference, name=name)["Id"])
    client.start(foreign[0])
    client.remove_image(moving, force=True)
    found = await engine.foreign_images()
    assert {name: image for name, image in found.items() if service_name in name} == wanted


async def test_containers_of_another_installation_are_not_seen_or_removed(
    engine: DockerEngine, engine_host: str, place: Place, tmp_path: Path, image: Image, service_name: str
) -> None:
    other = DockerEngine(
        host=engine_host,
        network=place.network,
        subnet=place.subnet,
        installation=f"other-{os.getpid()}",
        volumes_dir=tmp_path,
    )
    await other.start(workload(image, service_name))
    theirs = await only(other, service_name)
    await engine.clear(service_name, "a")
    assert await engine.observe() == ()
    with pytest.raises(EngineError, match="holds the name"):
        await engine.start(workload(image, service_name))
    with pytest.raises(Exception, match="no container"):
        await anext(engine.log(theirs.id, tail=1, since=None, follow=False, timestamps=False))
    assert (await only(other, service_name)).id == theirs.id
    await other.clear(service_name, "a")
    await other.close()


async def test_a_network_with_another_plan_is_refused(
    engine: DockerEngine, engine_host: str, place: Place, tmp_path: Path, image: Image, service_name: str
) -> None:
    await engine.start(workload(image, service_name))
    smaller = next(place.subnet.subnets(new_prefix=22))
    other = make(engine_host, place._replace(subnet=smaller), tmp_path)
    with pytest.raises(EngineError, match=f"was not made for the subnet {smaller}") as caught:
        await other.start(workload(image, service_name, "b"))
    assert f"docker network rm {place.network}" in caught.value.next_step
    await other.close()


async def test_a_subnet_in_use_says_which_setting_to_change(
    engine: DockerEngine, engine_host: str, place: Place, tmp_path: Path, image: Image, service_name: str
) -> None:
    await engine.start(workload(image, service_name))
    other = make(engine_host, place._replace(network=f"{place.network}-2"), tmp_path)
    with pytest.raises(EngineError) as caught:
        await other.start(workload(image, service_name, "b"))
    assert "O8_SUBNET" in caught.value.next_step
    await other.close()


async def test_created_containers_have_the_limits_and_nothing_more(
    engine: DockerEngine, client: docker.APIClient, image: Image, service_name: str
) -> None:
    limits = {"memory": "64m", "cpus": 0.5, "pids": 99, "log_size": "1m", "log_files": 2}
    await engine.start(workload(image, service_name, script=LOOP, limits=limits, stop_timeout=9))
    found = client.inspect_container(f"o8-{service_name}-a-1")
    host = found["HostConfig"]
    assert (host["Memory"], host["MemorySwap"], host["NanoCpus"]) == (64 * 1024**2, 64 * 1024**2, 500_000_000)
    assert (host["PidsLimit"], host["SecurityOpt"], found["Config"]["StopTimeout"]) == (
        99,
        ["no-new-privileges"],
        9,
    )
    assert host["LogConfig"] == {"Type": "json-file", "Config": {"max-size": "1m", "max-file": "2"}}
    assert host["RestartPolicy"]["Name"] == "no"
    assert not host["Privileged"]
    assert not any(host[key] for key in ("Binds", "Devices", "CapAdd", "PortBindings", "PidMode", "UsernsMode"))
    assert not any("VERSION" in value for value in found["Config"]["Labels"].values())


async def test_a_volume_outlives_its_containers_and_any_user_may_write(
    engine: DockerEngine, engine_host: str, docker_registry: LabRegistry, service_name: str, tmp_path: Path
) -> None:
    unprivileged = busybox_image(engine_host, docker_registry.image("acme/user"), changes=["USER 1000"])
    volumes = [{"name": "data", "path": "/data"}]
    await engine.start(workload(unprivileged, service_name, script="echo kept > /data/file", volumes=volumes))
    assert (await ended(engine, service_name)).exit_code == 0
    await engine.start(workload(unprivileged, service_name, script="cat /data/file", volumes=volumes))
    await ended(engine, service_name)
    assert await log_of(engine, service_name) == [b"kept"]
    assert (tmp_path / "volumes" / service_name).stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("linked", ["", "data"])
async def test_a_volume_folder_that_leads_elsewhere_is_refused(
    engine: DockerEngine, image: Image, service_name: str, tmp_path: Path, linked: str
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    link = tmp_path / "volumes" / service_name / linked
    link.parent.mkdir(parents=True)
    link.symlink_to(elsewhere)
    with pytest.raises(EngineError, match="a link to another place"):
        await engine.start(workload(image, service_name, volumes=[{"name": "data", "path": "/data"}]))
    assert list(elsewhere.iterdir()) == []
    assert await engine.observe() == ()


async def test_the_images_own_health_check_is_seen(
    engine: DockerEngine, engine_host: str, docker_registry: LabRegistry, service_name: str
) -> None:
    check = "HEALTHCHECK --interval=1s --retries=1 CMD test -e /tmp/well"
    checked = busybox_image(engine_host, docker_registry.image("acme/checked"), changes=[check])
    await engine.start(workload(checked, service_name, script=f"touch /tmp/well; {LOOP}"))

    async def is_healthy() -> bool:
        return (await only(engine, service_name)).health == "healthy"

    await until(is_healthy)


async def test_a_lost_network_is_made_again(
    engine: DockerEngine, client: docker.APIClient, place: Place, image: Image, service_name: str
) -> None:
    await engine.start(workload(image, service_name))
    await engine.clear(service_name, "a")
    client.remove_network(place.network)
    await engine.start(workload(image, service_name))
    (address,) = engine.addresses(3, "a", 1, 8080)
    assert await until(lambda: answer(address))


async def test_too_many_readers_are_refused_and_block_nobody_else(
    engine: DockerEngine, image: Image, service_name: str
) -> None:
    await engine.start(workload(image, service_name, script=f"echo ready; {LOOP}"))
    replica = await only(engine, service_name)

    async def read() -> AsyncGenerator[bytes, None]:
        lines = engine.log(replica.id, tail=None, since=None, follow=True, timestamps=False)
        assert await anext(lines) == b"ready"
        return lines

    readers = await asyncio.gather(*(read() for _ in range(MAX_LOGS)))
    waiting = [asyncio.ensure_future(anext(reader)) for reader in readers]  # each holds a thread
    with pytest.raises(EngineError, match="being read already"):
        await read()
    await asyncio.wait_for(engine.stop(service_name, "a", 5), 30)
    assert {type(r) for r in await asyncio.gather(*waiting, return_exceptions=True)} == {StopAsyncIteration}
    await engine.resume(service_name, "a")
    await (await read()).aclose()


async def test_nobody_listening_is_unavailable_and_says_what_to_look_at(place: Place, tmp_path: Path) -> None:
    engine = make(f"unix://{tmp_path}/none.sock", place, tmp_path)
    with pytest.raises(EngineUnavailable, match="systemctl status docker"):
        await engine.observe()
    await engine.close()


async def test_no_thread_or_file_is_left_behind(
    engine_host: str, place: Place, image: Image, service_name: str, tmp_path: Path
) -> None:
    async def use() -> None:
        engine = make(engine_host, place, tmp_path)
        await engine.start(workload(image, service_name, script=f"echo ready; {LOOP}"))
        replica = await only(engine, service_name)
        for _ in range(3):
            lines = engine.log(replica.id, tail=None, since=None, follow=True, timestamps=False)
            await anext(lines)
            await lines.aclose()
        await engine.clear(service_name, "a")
        await engine.close()

    await use()
    before = open_files()
    for _ in range(3):
        await use()

    async def is_flat() -> bool:
        return open_files() <= before

    await until(is_flat)


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir())) + len(list(Path("/proc/self/task").iterdir()))
