"""A private Docker daemon that may be frozen and killed, an image that it can pull, and o8's engine for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from bot.engines.docker import DockerEngine
from lab.images import Image, busybox_image
from lab.private_engine import PrivateEngine, private_engine
from tests.engines.contract import PATIENCE_S


@pytest.fixture(scope="module")
def daemon() -> Iterator[PrivateEngine]:
    with private_engine() as daemon:
        yield daemon


@pytest.fixture(scope="module")
def image(daemon: PrivateEngine) -> Image:
    return busybox_image(daemon.host, f"{daemon.registry()}/acme/web")


@pytest.fixture
async def engine(daemon: PrivateEngine, tmp_path: Path) -> AsyncIterator[DockerEngine]:
    engine = DockerEngine(
        host=daemon.host, network="o8", subnet=IPv4Network("172.29.0.0/20"), installation="private",
        volumes_dir=tmp_path, patience_s=PATIENCE_S,
    )  # fmt: skip
    yield engine
    for replica in await engine.observe():
        await engine.clear(replica.service, replica.slot)
    await engine.close()
