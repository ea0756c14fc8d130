"""One house for each test, and whoever comes to visit it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest

from tests.small_house import House, open_house
from tests.web.guest import Guest, guest
from tests.web.scenery import ADMIN, furnish

Come = Callable[[str], Awaitable[Guest]]


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """Furnished by `tests.web.scenery`; its deployment 16 pulls."""
    async with open_house(tmp_path) as house:
        await furnish(house)
        yield house


@pytest.fixture
async def come(house: House) -> AsyncIterator[Come]:
    """Lets somebody in by their name."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as client:
        url = await house.open_to_all()

        async def come(name: str) -> Guest:
            return await guest(house, client, url, name)

        yield come


@pytest.fixture
async def mira(come: Come) -> Guest:
    """Admin of everything."""
    return await come(ADMIN)
