"""One o8 to talk to for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.chatops.talking import Talks, open_talks


@pytest.fixture
async def talks(tmp_path: Path) -> AsyncIterator[Talks]:
    """Nothing is deployed, and nothing that is asked for runs."""
    async with open_talks(tmp_path) as talks:
        yield talks


@pytest.fixture
async def served(talks: Talks) -> Talks:
    """`web` 0001 has been deployed; what is asked for now runs."""
    await talks.house.services.worker.start()
    await talks.house.deployed("web", "0001")
    return talks


@pytest.fixture
async def live(served: Talks) -> Talks:
    """After 0001 also `web` 0002 has been deployed."""
    await served.house.deployed("web", "0002")
    return served
