"""`make contract` in short: the API keeps its description, and a description that is not true is found out."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from handlers.api import ROUTES, openapi
from lab import contract

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


async def test_the_api_keeps_what_its_description_says(tmp_path: Path) -> None:
    async with contract.described(tmp_path) as (_, url):
        outcome = await contract.check(url, 6, 3, tmp_path)
    assert outcome.is_kept, outcome.text


async def test_a_description_that_is_not_true_is_found_out(tmp_path: Path) -> None:
    """The control: the same run fails, once by an answer of another type and once by a right that nobody asks for."""
    untrue = openapi.document(ROUTES)
    untrue["paths"] = {path: call for path, call in untrue["paths"].items() if path.endswith("/me")}  # at once
    untrue["components"]["schemas"]["Me"]["properties"]["username"] = {"type": "integer"}
    file = tmp_path / "untrue.json"
    file.write_bytes(orjson.dumps(untrue))
    async with contract.described(tmp_path) as (_, url):
        outcome = await contract.check(url, 5, 3, tmp_path, str(file))
    assert not outcome.is_kept
    assert "GET /api/v1/me" in outcome.text and "Response violates schema" in outcome.text, outcome.text
