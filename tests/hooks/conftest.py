"""o8 behind a front that GitHub's stand-in knocks at."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from lab import github
from lab.github_api import TOKEN, FakeGitHub, fake_github
from lab.github_api.hooks import StoredHook, Try
from tests.cli.conftest import o8 as o8  # a fixture
from tests.hooks.front import Front, standing
from tests.small_house import House, open_house

SECRET = "0123456789abcdef0123"
SCOPES = {"read:packages", "admin:org_hook", "admin:repo_hook"}


@pytest.fixture
def api() -> Iterator[FakeGitHub]:
    """Where `acme` is an organization with the package `web`, and the token may do all that o8 asks for."""
    with fake_github() as api:
        api.scopes = set(SCOPES)
        api.publish("acme", "web", "0001")
        api.repositories["acme", "web"] = "acme/site"
        yield api


@pytest.fixture
async def front() -> AsyncIterator[Front]:
    async with standing() as front:
        yield front


@pytest.fixture
async def house(tmp_path: Path, api: FakeGitHub, front: Front) -> AsyncIterator[House]:
    """With `web` of acme. Deployments are wanted, and not run."""
    chosen = {"github_pat": TOKEN, "github_webhook_secret": f"{SECRET},an old one of before", "public_url": front.url}
    async with open_house(tmp_path, github_api_url=api.url, github_owners="acme", **chosen) as house:
        front.behind = await house.open_to_all()
        await house.add()
        yield house


@pytest.fixture
def hook(api: FakeGitHub, front: Front, house: House) -> StoredHook:
    """Of the organization, as it is to be."""
    return api.add_hook("orgs/acme", f"{front.url}/webhooks/github", SECRET)


async def push(api: FakeGitHub, tag: str, name: str = "web", **more: object) -> list[Try]:
    """GitHub tells its webhooks that `tag` was pushed."""
    return await api.pushed(github.push(f"ghcr.io/acme/{name}", tag), **more)  # type: ignore[arg-type]
