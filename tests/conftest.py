"""Real parts that many tests share: a Docker Engine, a free network on it, an open registry, one image."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator

import hypothesis
import pytest

from lab.engine import Place, ensure_engine, free_subnet
from lab.images import Image, busybox_image, remove_all
from lab.registry import LabRegistry, open_registry

_numbers = itertools.count(1)

# The same values in each run, so that a change is what makes a test fail. `make explore` looks for new ones.
hypothesis.settings.register_profile("steady", derandomize=True, deadline=None)
hypothesis.settings.register_profile("explore", deadline=None, max_examples=1000)
hypothesis.settings.load_profile(os.environ.get("O8_HYPOTHESIS", "steady"))


@pytest.fixture(scope="session")
def engine_host() -> Iterator[str]:
    """Address of a real Docker Engine."""
    engine = ensure_engine()
    yield engine.host
    remove_all(engine.host)
    engine.stop()


@pytest.fixture(scope="session")
def place(engine_host: str) -> Iterator[Place]:
    """A network name and subnet of this test run alone; removed at the end with all containers on it."""
    with free_subnet(engine_host) as place:
        yield place


@pytest.fixture(scope="session")
def docker_registry() -> Iterator[LabRegistry]:
    """An open registry, filled by the tests of this run."""
    with open_registry() as registry:
        yield registry


@pytest.fixture(scope="session")
def web_image(engine_host: str, docker_registry: LabRegistry) -> Image:
    """A small web server on port 8080 that answers with $VERSION; on the engine and in the registry."""
    return busybox_image(engine_host, docker_registry.image("acme/web"))


@pytest.fixture
def service_name() -> str:
    """A name that no other test, and no other test run on this machine, uses."""
    return f"t{os.getpid()}-{next(_numbers)}"
