"""A stand-in of GitHub over TCP, a database, and the catalogue between them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest

from bot.packages.catalogue import Catalogue
from bot.store import Store
from lab.github_api import FakeGitHub, fake_github
from tests.catalogue.looking import of


@pytest.fixture
def api() -> Iterator[FakeGitHub]:
    with fake_github() as api:
        yield api


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = await Store.open(tmp_path / "data/o8.sqlite")
    yield store
    await store.close()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def catalogue(api: FakeGitHub, store: Store, session: aiohttp.ClientSession) -> Catalogue:
    return of(api, store, session)
