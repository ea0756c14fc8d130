"""Every field of every route, with values that trust breaks on: an answer below 500 each time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from handlers import errors
from handlers.access import ACCOUNT
from handlers.api import ROUTES
from handlers.api.routing import Call, Route
from tests.small_house import House, open_house

pytestmark = pytest.mark.slow


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with open_house(tmp_path) as house:
        yield house


HOSTILE: list[Any] = [
    None, True, False, 0, -1, 1.5, 1e308, 2**31, 2**63 - 1, 2**63, 2**64, -(2**63), "", " ", "\0", "a\0b", "x" * 40_000,
    "\x1b[31m", "\r\nX: y", "../../etc/passwd", "..", "%00", "%2e%2e%2f", "'; DROP TABLE services; --", "{{7*7}}",
    "\u202e", "\ud7ff\uffff", "💥", "9" * 5000, "1e999", "NaN", "0x10", "١٢٣", "sha256:" + "0" * 64, "#1",
    "0001-01-01T00:00:00Z", "9999-12-31T23:59:59-23:59", [], ["a"], [None], {}, {"a": {"b": []}}, {"\0": "\0"},
    [[]] * 50,
]  # fmt: skip
GOOD = {
    "replicas": 1, "reason": "because", "seconds": 60, "kind": "deploy", "release": "0001", "set": {"A": "1"},
    "unset": [], "content": "A=1\n", "username": "ada", "action": "deploy", "scope": "service:web",
    "slack_user": "U1234", "team": "T1234", "bypass": False, "password": "correct horse", "current": "battery staple",
    "rights": [{"action": "deploy", "scope": "service:web"}], "name": "ci",
}  # fmt: skip


def cases(route: Route, house: House) -> list[tuple[str, dict[str, str], Any]]:
    """Path, query and body of requests to `route`, each with one hostile value."""
    body: dict[str, Any] | None = None
    if isinstance(route.body, type) and issubclass(route.body, dict):
        body = house.file()
    elif route.body is not None:
        body = {name: GOOD[name] for name in route.body.model_fields if name in GOOD}
    path = route.path.format(name="web", id="1", delivery="x")
    found: list[tuple[str, dict[str, str], Any]] = []
    for value in HOSTILE:
        text = str(value)
        if "{" in route.path:
            in_path = quote(text[:1500], safe="", errors="replace")
            found.append((route.path.format(name=in_path, id=in_path, delivery=in_path), {}, body))
        found += [(path, {name: text[:6000]}, body) for name in [*route.query.model_fields, "unknown"]]
        if body is not None:
            found += [(path, {}, body | {name: value}) for name in body] + [(path, {}, value)]
    return found


async def harm(house: House, route: Route) -> list[str]:
    """Every request to `route` that ended in a 5xx, or in an error that is no problem body."""
    failures = []
    for path, query, body in cases(route, house):
        url = URL("http://o8/api/v1" + path, encoded=True).update_query(query)
        async with house.client.request(route.method, url, json=body) as answer:
            if answer.content_type != "text/event-stream":  # that one does not end
                await answer.read()
            # A request line or header that HTTP itself forbids is answered by aiohttp before any route.
            is_problem = answer.status < 400 or answer.content_type == "application/problem+json"
            if answer.status >= 500 or not (is_problem or len(str(url)) > 8000):
                failures.append(f"{route.method} {path[:80]} {str(query)[:80]} {str(body)[:80]}: {answer.status}")
    return failures


# Without the doctor: it takes no value, and looks at the whole machine each time.
@pytest.mark.parametrize("route", [r for r in ROUTES if r.path != "/doctor"], ids=lambda r: f"{r.method} {r.path}")
async def test_no_hostile_value_anywhere_makes_a_5xx(house: House, route: Route) -> None:
    await house.add()
    assert await harm(house, route) == []


async def test_no_hostile_value_is_stored_as_it_came(house: House) -> None:
    """What the routes took must be readable again by all of them."""
    for route in ROUTES:
        if route.path != "/doctor":
            await house.add()
            await harm(house, route)
    for path in ("/services", "/status", "/deployments?limit=500", "/audit?limit=500", "/audit/verification"):
        assert (await house.ask("GET", path))[0] == 200


async def test_the_hostile_values_do_find_a_handler_that_trusts_them(house: House) -> None:
    async def trusting(call: Call[None, Any]) -> int:
        return int(call.request.query.get("limit", "1"))

    careless = Route(
        "GET", "/careless", trusting, ACCOUNT, int, query=next(r for r in ROUTES if r.path == "/audit").query
    )

    async def handle(request: web.Request) -> web.StreamResponse:
        return web.json_response(await trusting(Call(house.services, None, request, None, None, None)))  # type: ignore[arg-type]

    application = web.Application(middlewares=[errors.middleware])
    application.router.add_get("/api/v1/careless", handle)
    runner = web.AppRunner(application)
    await runner.setup()
    path = str(house.folder / "careless.sock")
    await web.UnixSite(runner, path).start()
    async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(path)) as client:
        careful, house.client = house.client, client
        try:
            assert await harm(house, careless)
        finally:
            house.client = careful
    await runner.cleanup()
