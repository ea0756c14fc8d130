"""A caller for every house of these tests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.handlers.visiting import Visitor, visiting
from tests.small_house import House


@pytest.fixture
async def visitor(house: House) -> AsyncIterator[Visitor]:
    """Knocks at the door that is open to all; `house` is the test's own."""
    async with visiting(house) as visitor:
        yield visitor
