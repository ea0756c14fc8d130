"""A house with people for tests that need no other, and a caller for every house."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.permissions import GLOBAL, Action
from tests.handlers.visiting import ALLOWED, WEB, Visitor, add_user, visiting
from tests.small_house import House, open_house


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """With `web` and `shop`; ada may deploy web, bob nothing, root is admin of everything."""
    async with open_house(tmp_path, allowed_origins=ALLOWED) as house:
        await house.add("web")
        await house.add("shop")
        await add_user(house, "ada", (Action.DEPLOY, WEB))
        await add_user(house, "bob")
        await add_user(house, "root", (Action.ADMIN, GLOBAL))
        yield house


@pytest.fixture
async def visitor(house: House) -> AsyncIterator[Visitor]:
    """Knocks at the door that is open to all; `house` is the test's own."""
    async with visiting(house) as visitor:
        yield visitor
