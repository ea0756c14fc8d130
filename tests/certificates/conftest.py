"""A workshop for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.store import Store
from tests.certificates.workshop import Workshop


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Workshop]:
    store = await Store.open(tmp_path / "data" / "o8.sqlite")
    yield Workshop(store, tmp_path)
    await store.close()
