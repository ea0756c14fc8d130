"""Every field of every call of the original's API, with values that trust breaks on: never a 5xx, always a text."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson
import pytest
from yarl import URL

from handlers.orchestr8 import ROUTES, people
from handlers.orchestr8.routing import Route
from tests.handlers.fronting import IMAGE, NAME, SCOPE, Fronted, fronted
from tests.handlers.test_api_hostile import HOSTILE
from tests.handlers.visiting import PASSWORD, basic

pytestmark = pytest.mark.slow

BODIES: dict[str, dict[str, Any]] = {
    "/services/start": {
        "service": "blog", "image": f"{IMAGE}:0001", "recreate": True,
        "config": {
            "hostPort": "8081", "containerPort": "80", "domain": "a.example.org", "memoryLimit": "1g", "cpuLimit": "1",
            "clientMaxBodySize": "1m", "restartPolicy": "always",
        },
    },
    "/services/stop": {"service": "gone"}, "/services/restart": {"service": "gone"},
    "/services/{name}/env": {"content": "A=1"},
    "/api/users": {"username": "bob", "password": "short", "permissions": [], "is_admin": False},
    "/api/users/{name}/permissions": {"permissions": [{"scope": SCOPE, "action": "deploy"}]},
    "/api/change-password": {"password": PASSWORD},
}  # fmt: skip
QUERIES = {"/services/{name}/logs": ("tail", "since"), "/services/{name}/logs/ws": ("tail", "since"),
           "/images/pull": ("image",)}  # fmt: skip


@pytest.fixture
async def it(tmp_path: Path) -> AsyncIterator[Fronted]:
    async with fronted(tmp_path) as it:
        await it.add()
        yield it


def spoilt(value: Any) -> Iterator[tuple[Any, Any]]:
    """A good value with each of its parts, and itself, replaced by each hostile one."""
    for hostile in HOSTILE:
        yield hostile, hostile
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        for _, other in spoilt(part):
            copy = value.copy()
            copy[key] = other
            yield key, copy


def cases(route: Route) -> Iterator[tuple[str, Any]]:
    """Address and body of requests to `route`, each with one hostile value."""
    body = BODIES.get(route.path)
    path = route.path.replace("{api: api }/{users: users }", "%20api%20/%20users%20")
    good = path.replace("{name}", NAME)
    for value in HOSTILE:
        text = quote(str(value)[:1500], safe="", errors="replace")
        if "{name}" in path:
            yield path.replace("{name}", text), body
        for name in QUERIES.get(route.path, ()):
            yield f"{good}?{name}={text}", body
    if body is not None:
        for _, other in spoilt(body):
            yield good, other


async def harm(it: Fronted, route: Route) -> list[str]:
    """Every request to `route` that ended in a 5xx, or in an error without a text."""
    failures = []
    for path, body in cases(route):
        try:
            data = None if body is None else orjson.dumps(body)
        except TypeError:  # an integer beyond JSON's usual ones; written as a program without orjson would
            data = b'{"service": 18446744073709551616, "content": 18446744073709551616}'
        url = URL(it.root.server + path, encoded=True)
        async with it.root.client.request(route.method, url, data=data, headers=basic("root")) as answer:
            text = await answer.read()
            has_text = answer.status < 400 or (
                answer.content_type == "application/json" and bool(orjson.loads(text).get("error"))
            )
            # A path that HTTP or the table of routes itself forbids is answered before any route.
            is_unrouted = answer.status in (400, 404, 405) and answer.content_type != "application/json"
            if answer.status == 200 and route.handler is people.change_password:
                await it.house.services.logins.set_password("root", PASSWORD)  # a fine password, as it happens
            if answer.status >= 500 or not (has_text or is_unrouted) or len(text) > 10_000:
                failures.append(f"{route.method} {path[:80]} {str(body)[:80]}: {answer.status} {text[:200]!r}")
    return failures


@pytest.mark.parametrize("route", ROUTES, ids=lambda r: f"{r.method} {r.path}")
async def test_no_hostile_value_anywhere_makes_a_5xx(it: Fronted, route: Route) -> None:
    if route.path == "/services":
        return  # it takes no value
    assert await harm(it, route) == []
    assert (await it.root.call("GET", "/services")).status == 200
    assert (await it.root.users()).status == 200


async def test_each_route_that_takes_a_body_is_tried_with_one() -> None:
    assert set(BODIES) == {route.path for route in ROUTES if route.method in ("POST", "PATCH")}
