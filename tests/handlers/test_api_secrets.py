"""A refused request is not repeated where it holds secrets: answers end up in logs of scripts and on screens."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from handlers.api import ROUTES
from tests.small_house import House, open_house

pytestmark = pytest.mark.slow

CANARY = "canary-value"
SECRET = {"password", "current", "content", "set"}


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with open_house(tmp_path) as house:
        await house.add()
        yield house


@pytest.mark.parametrize(("method", "path", "body"), [
    ("PUT", "/services/web/environment", {"content": f"TOKEN={CANARY}\0"}),
    ("PUT", "/services/web/environment", {"content": f"no assignment: {CANARY}"}),
    ("PATCH", "/services/web/environment", {"set": {"TOKEN": f"{CANARY}\0"}}),
    ("PATCH", "/services/web/environment", {"set": {"NOT A NAME": CANARY}}),
    ("PATCH", "/services/web/environment", {"set": CANARY}),
    ("POST", "/users", {"username": "bob", "password": f"{CANARY}\0"}),
    ("POST", "/users", {"username": "bob", "password": CANARY * 100}),
    ("POST", "/users", {"username": "bob", "password": CANARY[:7]}),
    ("PUT", "/users/ada/password", {"password": CANARY * 100}),
    ("PUT", "/users/ada/password", {"password": "x" * 10, "current": f"{CANARY}\0"}),
    ("PUT", "/users/ada/password", {"secret": CANARY}),
])  # fmt: skip
async def test_a_refusal_does_not_repeat_a_secret(house: House, method: str, path: str, body: dict[str, Any]) -> None:
    status, problem = await house.ask(method, path, body)
    assert status == 400, problem
    assert CANARY[:7] not in str(problem)


async def test_what_is_no_secret_is_repeated(house: House) -> None:
    """The control, and a help for who has mistyped something."""
    _, problem = await house.ask("POST", "/users", {"username": "Not A Name"})
    assert "Not A Name" in problem["detail"]
    _, problem = await house.ask("POST", "/users", {"username": "bob", "password": "x" * 1025})
    assert problem["detail"] == "password: expected at most 1024 characters."


def test_every_field_that_sounds_like_a_secret_is_marked_as_one() -> None:
    models = [route.body for route in ROUTES if isinstance(route.body, type) and issubclass(route.body, BaseModel)]
    fields = [(name, field) for model in models for name, field in model.model_fields.items()]
    marked = {name for name, field in fields if not field.repr}
    assert marked == {name for name, _ in fields if name in SECRET} == SECRET
