"""Pages of other origins: those of ALLOWED_ORIGINS may call, over every answer that there is, and no others."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from multidict import CIMultiDictProxy

from bot.permissions import GLOBAL, Action
from handlers import application
from handlers.access import EVERYBODY, access_of
from tests.handlers.visiting import Visitor, add_user, basic, visiting
from tests.small_house import House, open_house

pytestmark = pytest.mark.slow

ALLOWED = ("https://ops.example.org", "http://localhost:5173")
FOREIGN = (
    "https://evil.example.com", "https://ops.example.org.evil.example.com", "http://ops.example.org",
    "https://ops.example.org:8443", "https://OPS.example.org", "https://ops.example.org/", "null", "", "*",
    "https://ops.example.org, https://evil.example.com",
)  # fmt: skip
ASKING = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with open_house(tmp_path, allowed_origins=", ".join(ALLOWED)) as house:
        await house.add()
        await add_user(house, "root", (Action.ADMIN, GLOBAL))
        yield house


def granted(headers: CIMultiDictProxy[str]) -> tuple[str | None, str | None]:
    return headers.get("Access-Control-Allow-Origin"), headers.get("Access-Control-Allow-Credentials")


@pytest.mark.parametrize("origin", ALLOWED)
async def test_a_browser_may_ask_before_without_a_login(visitor: Visitor, origin: str) -> None:
    for path in ("/services", "/../services/start", "/../%20api%20/%20users%20/%20ada", "/../no/such/path"):
        answer = await visitor.ask("OPTIONS", path, ASKING | {"Origin": origin})
        assert (answer.status, granted(answer.headers)) == (204, (origin, "true")), path
        assert {"GET", "POST", "PUT", "PATCH", "DELETE"} == set(
            answer.headers["Access-Control-Allow-Methods"].split(", ")
        )
        allowed = answer.headers["Access-Control-Allow-Headers"].lower().split(", ")
        assert {"authorization", "content-type", "idempotency-key", "last-event-id"} == set(allowed)
        assert "Origin" in answer.headers.getall("Vary")


async def test_every_method_of_every_route_may_be_asked_for(house: House, visitor: Visitor) -> None:
    answer = await visitor.ask("OPTIONS", "/services", ASKING | {"Origin": ALLOWED[0]})
    allowed = {*answer.headers["Access-Control-Allow-Methods"].split(", "), "HEAD"}
    guarded = [r for r in application.public(house.services).router.routes() if access_of(r.handler) != EVERYBODY]
    assert {route.method for route in guarded} <= allowed


@pytest.mark.parametrize("origin", FOREIGN)
async def test_a_foreign_page_is_granted_nothing(visitor: Visitor, origin: str) -> None:
    answer = await visitor.ask("OPTIONS", "/services", ASKING | {"Origin": origin})
    assert (answer.status, granted(answer.headers)) == (204, (None, None))
    assert not [name for name in answer.headers if name.lower().startswith("access-control")]
    for headers in (basic("root"), {}):
        answer = await visitor.ask("GET", "/services", headers | {"Origin": origin})
        assert granted(answer.headers) == (None, None)


async def test_a_question_with_options_that_is_no_preflight_is_none(visitor: Visitor) -> None:
    answer = await visitor.ask("OPTIONS", "/services", {"Origin": ALLOWED[0]})
    assert (answer.status, granted(answer.headers)) == (405, (ALLOWED[0], "true"))


@pytest.mark.parametrize(("method", "path", "way", "data", "status"), [
    ("GET", "/services", basic("root"), None, 200), ("GET", "/services", {}, None, 401),
    ("GET", "/services/gone", basic("root"), None, 404), ("GET", "/../nothing", {}, None, 404),
    ("PATCH", "/services", basic("root"), None, 405), ("PUT", "/services/web/lock", basic("root"), b"{", 400),
    ("PUT", "/services/web/lock", basic("root"), b"x" * 2_200_000, 413), ("GET", "/../healthz", {}, None, 200),
    ("GET", "/../services", basic("root"), None, 200), ("GET", "/../services", {}, None, 401),
    ("POST", "/services/web/restart", basic("root"), None, 404),
    ("GET", "/services/web/releases", basic("root"), None, 200),
    ("DELETE", "/services/web/lock", basic("root"), None, 409), ("GET", "/openapi.json", {}, None, 200),
    ("POST", "/../webhooks/github", {}, b"{}", 503),
])  # fmt: skip
async def test_every_answer_says_that_the_page_may_read_it(
    visitor: Visitor, method: str, path: str, way: dict[str, str], data: bytes | None, status: int
) -> None:
    answer = await visitor.ask(method, path, way | {"Origin": ALLOWED[0]}, data=data)
    assert (answer.status, granted(answer.headers)) == (status, (ALLOWED[0], "true")), answer
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Access-Control-Expose-Headers"] == "Link, Retry-After, Idempotency-Replayed"
    assert len(answer.headers.getall("Access-Control-Allow-Origin")) == 1
    assert "Origin" in answer.headers.getall("Vary")


async def test_what_is_unforeseen_says_it_too(house: House, visitor: Visitor) -> None:
    await house.services.store.write(lambda db: db.execute("DROP TABLE tokens"))
    answer = await visitor.ask("GET", "/tokens", basic("root") | {"Origin": ALLOWED[0]})
    assert answer.status >= 500 and granted(answer.headers) == (ALLOWED[0], "true")


async def test_streams_and_sockets_say_it_too(house: House, visitor: Visitor) -> None:
    await house.services.worker.start()
    await house.deployed()
    headers = basic("root") | {"Origin": ALLOWED[0]}
    for path in (
        "/api/v1/events", "/api/v1/deployments/1/events", "/api/v1/services/web/logs", "/services/web/logs",
        "/api/v1/services/web/logs?follow=1", "/api/v1/services/web/logs/events", "/images/pull?image=x",
    ):  # fmt: skip
        async with visitor.client.get(visitor.url + path, headers=headers) as answer:
            assert (answer.status, granted(answer.headers)) == (200, (ALLOWED[0], "true")), path
    for path in ("/api/v1/services/web/logs/ws", "/services/web/logs/ws"):
        async with visitor.client.ws_connect(visitor.url + path, headers=headers) as socket:
            assert granted(socket._response.headers) == (ALLOWED[0], "true")


async def test_without_the_setting_no_page_may_call(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house, visiting(house) as visitor:
        for origin in (*ALLOWED, *FOREIGN):
            answer = await visitor.ask("OPTIONS", "/services", ASKING | {"Origin": origin})
            assert granted(answer.headers) == (None, None), "not even one without a name"
