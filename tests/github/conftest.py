"""A stand-in of GitHub over TCP, and o8's client of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest

from bot.github import GitHub
from lab.github_api import FakeGitHub, fake_github


@pytest.fixture
def api() -> Iterator[FakeGitHub]:
    with fake_github() as api:
        yield api


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def github(api: FakeGitHub, session: aiohttp.ClientSession) -> GitHub:
    return GitHub(session, api.url)
