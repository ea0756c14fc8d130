"""A whole o8 for each module, behind a registry that can be spoilt; tests share it and use a service each."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from lab.house import House, house
from lab.registry_proxy import RegistryProxy, registry_proxy
from lab.tenant import Tenant

MakeTenant = Callable[..., Awaitable[Tenant]]
_numbers = itertools.count(1)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place_of_home(engine_host: str) -> AsyncIterator[tuple[House, RegistryProxy]]:
    async with house() as home:
        with registry_proxy(home.registry.address) as proxy:
            home.environ["DOCKER_SERVER_ADDRESS"] = proxy.address
            await home.start()
            await home.until(lambda: asyncio.to_thread(_has_started, home.data / "nginx/nginx.pid"))
            yield home, proxy


@pytest.fixture
def home(place_of_home: tuple[House, RegistryProxy]) -> House:
    """A started house that the tests of a module share."""
    return place_of_home[0]


@pytest.fixture
def registry(place_of_home: tuple[House, RegistryProxy]) -> RegistryProxy:
    """What stands before the registry of `home`."""
    return place_of_home[1]


@pytest.fixture
def tenant(home: House) -> MakeTenant:
    """Makes a service of this test alone, with a first release 0001 that serves (`first=""`: without)."""

    async def make(first: str = "0001", fault: str = "", **configuration: Any) -> Tenant:
        return await move_in(home, first, fault, **configuration)

    return make


def _has_started(pid_file: Path) -> bool:
    """nginx makes the file first and writes the number then."""
    return pid_file.exists() and bool(pid_file.read_text().strip())


async def move_in(home: House, first: str = "0001", fault: str = "", **configuration: Any) -> Tenant:
    """A service with a name of its own in `home`, whose release `first` serves."""
    found = Tenant(home, f"t{os.getpid()}-{next(_numbers)}")
    await found.apply(**{"watch": 0, "drain_timeout": 5} | configuration)
    if first:
        await found.release(first, fault)
    return found
