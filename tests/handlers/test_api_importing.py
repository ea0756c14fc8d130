"""POST /import: what the original kept, over the API."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from bot.errors import EngineUnavailable
from bot.permissions import GLOBAL, Action
from tests.importing.test_users import HASH
from tests.small_house import House, open_house

pytestmark = pytest.mark.slow

WEB = {"name": "web", "config": {"containerPort": "80", "image": "ghcr.io/acme/web:1"}, "environment": "TOKEN=canary"}
BODY = {"services": [WEB], "users": [{"username": "ada", "hash": HASH, "is_admin": True}]}


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with open_house(tmp_path) as house:
        yield house


async def outcomes(house: House, query: str = "", body: Any = BODY) -> list[str]:
    status, plan = await house.ask("POST", f"/import{query}", body)
    assert status == 200, plan
    assert "canary" not in str(plan) and "argon2" not in str(plan)
    return [one["outcome"] for one in plan["services"] + plan["users"]]


async def test_it_is_a_dry_run_unless_one_says_otherwise(house: House) -> None:
    for query in ("", "?dry_run=1", "?dry_run=true"):
        assert await outcomes(house, query) == ["to add", "to add"]
        assert await house.services.store.services() == () and await house.services.store.users() == ()
    assert await outcomes(house, "?dry_run=0") == ["added", "added"]
    assert await outcomes(house, "?dry_run=0") == ["as it is", "as it is"]
    assert [user.username for user in await house.services.store.users()] == ["ada"]


@pytest.mark.parametrize("body", [
    {"services": "web"}, {"services": [{}]}, {"users": [{"username": "ada", "password": "canary"}]}, {"other": []},
    {"services": [{"name": "web", "environment": {"TOKEN": "canary"}}]}, [], {"services": [{"name": "w" * 256}]},
    {"users": [{"username": "ada", "hash": ["canary"]}]},
])  # fmt: skip
async def test_what_makes_no_sense_is_refused_whole_and_no_secret_is_repeated(house: House, body: Any) -> None:
    status, problem = await house.ask("POST", "/import?dry_run=0", body)
    assert (status, problem["code"]) == (400, "invalid_input")
    assert "canary" not in str(problem)
    assert await house.services.store.services() == ()


async def test_without_docker_nothing_is_planned_as_nobody_knows_what_runs(house: House) -> None:
    async def foreign_images() -> dict[str, str]:
        raise EngineUnavailable("Docker does not answer.", "Is it running?")

    house.engine.foreign_images = foreign_images  # type: ignore[method-assign]
    assert (await house.ask("POST", "/import?dry_run=0", BODY))[0] == 503
    assert await house.services.store.services() == ()


async def test_only_an_admin_of_everything_imports_and_gives_what_they_may_give(house: House) -> None:
    door, store = await house.open_to_all(), house.services.store
    await store.add_user("bob", rights=[(Action.ADMIN, "service:web"), (Action.ADD_NEW_SERVICE, GLOBAL)])
    _, secret = await store.add_token("bob", "ci", None, None)
    headers = {"Authorization": f"Bearer {secret}"}
    async with aiohttp.ClientSession(headers=headers) as client:
        for query, expected in (("", 403), ("?dry_run=0", 403)):
            async with client.post(f"{door}/api/v1/import{query}", json=BODY) as answer:
                assert answer.status == expected
        await store.grant("bob", Action.ADMIN, GLOBAL, "o8")
        async with client.post(f"{door}/api/v1/import?dry_run=0", json=BODY) as answer:
            assert answer.status == 200
    entries = await store.audit(10)
    assert [(e.actor, e.action, e.subject) for e in entries] == [
        ("token:1", "import", "original"), ("token:1", "user add", "ada"), ("token:1", "env write", "web"),
        ("token:1", "apply", "web"),
    ]  # fmt: skip
    assert "canary" not in str(entries) and "argon2" not in str(entries)
