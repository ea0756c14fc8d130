"""What tests of the catalogue ask again and again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import aiohttp

from bot.github import GitHub, TokenLogin
from bot.github.packages import Packages
from bot.packages.catalogue import Catalogue
from bot.store import Store
from lab.github_api import TOKEN, FakeGitHub


def of(api: FakeGitHub, store: Store, session: aiohttp.ClientSession, *owners: str) -> Catalogue:
    return Catalogue(
        store, Packages(GitHub(session, api.url), TokenLogin(TOKEN), "ghcr.io"), owners or ("acme",), "ghcr.io"
    )


def image(name: str, owner: str = "acme") -> str:
    return f"ghcr.io/{owner}/{name}"


async def images(store: Store) -> list[str]:
    return [entry.removeprefix("ghcr.io/") for entry in await store.listed()]


async def available(store: Store) -> dict[str, str]:
    """Image, without the registry, and tag of what could be installed."""
    return {package.image.removeprefix("ghcr.io/"): package.tag for package in await store.available()}


async def cost(api: FakeGitHub, catalogue: Catalogue) -> int:
    """Of a look at everything."""
    before = api.counted
    await catalogue.refresh()
    return api.counted - before


@asynccontextmanager
async def running(catalogue: Catalogue) -> AsyncIterator[None]:
    task = asyncio.create_task(catalogue.run())
    yield
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
