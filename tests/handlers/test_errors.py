"""Errors become statuses and problem bodies, over real TCP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from http import HTTPStatus

import aiohttp
import pytest
from aiohttp import web
from aiohttp.typedefs import Handler

from bot.errors import (
    AccessDenied,
    Conflict,
    DiskFull,
    EngineUnavailable,
    ImageNotFound,
    InvalidInput,
    NginxError,
    NotFound,
    O8Error,
    RegistryUnavailable,
    StoreUnavailable,
)
from handlers import errors
from tests.handlers.listening import listening

Get = Callable[[Exception], Awaitable[tuple[aiohttp.ClientResponse, dict[str, object]]]]


def application(handler: Handler) -> web.Application:
    app = web.Application(middlewares=[errors.middleware])
    app.add_routes([web.get("/", handler)])
    return app


@pytest.fixture
async def get() -> AsyncIterator[Get]:
    """Asks a server whose handler raises the given error."""
    raised: list[Exception] = []

    async def fail(request: web.Request) -> web.StreamResponse:
        raise raised.pop()

    async with listening(application(fail)) as port:

        async def ask(error: Exception) -> tuple[aiohttp.ClientResponse, dict[str, object]]:
            raised.append(error)
            async with aiohttp.request("GET", f"http://127.0.0.1:{port}/", allow_redirects=False) as answer:
                is_problem = answer.content_type == "application/problem+json"
                return answer, await answer.json(content_type=None) if is_problem else {}

        yield ask


@pytest.mark.parametrize(("error", "status", "retry_after"), [
    (InvalidInput("Wrong."), 400, None), (NotFound("Gone."), 404, None), (Conflict("Locked."), 409, None),
    (StoreUnavailable("Full."), 503, "5"), (EngineUnavailable("Down."), 503, "5"),
    (DiskFull("Full."), 507, None),
    (RegistryUnavailable("Busy.", retry_after=12.5), 503, "13"), (RegistryUnavailable("Busy."), 503, "5"),
    (AccessDenied("No."), 502, None), (ImageNotFound("No."), 502, None), (NginxError("No."), 500, None),
    (O8Error("No."), 500, None), (errors.Refusal(HTTPStatus.IM_A_TEAPOT, "tea", "Tea."), 418, None),
])  # fmt: skip
async def test_each_error_has_its_status(get: Get, error: O8Error, status: int, retry_after: str | None) -> None:
    answer, body = await get(error)
    assert (answer.status, answer.headers.get("Retry-After")) == (status, retry_after)
    assert (body["status"], body["detail"], body["code"]) == (status, error.message, error.code)


async def test_a_problem_says_what_and_what_next_and_what_was_perhaps_meant(get: Get) -> None:
    _, body = await get(NotFound("There is no service 'wbe'.", suggestions=["web"]))
    assert body == {
        "title": "Not Found", "status": 404, "detail": "There is no service 'wbe'.", "code": "not_found",
        "next_step": "Did you mean web?", "suggestions": ["web"],
    }  # fmt: skip


async def test_errors_of_aiohttp_keep_their_headers_and_lose_their_text(get: Get) -> None:
    answer, body = await get(web.HTTPForbidden(text="<b>", headers={"X-Kept": "yes"}))
    assert (answer.status, answer.headers["X-Kept"]) == (403, "yes")
    assert body["code"] == "forbidden" and "<b>" not in str(body)


async def test_redirects_pass(get: Get) -> None:
    answer, _ = await get(web.HTTPFound("/elsewhere"))
    assert (answer.status, answer.headers["Location"]) == (302, "/elsewhere")


@pytest.mark.parametrize("error", [KeyError("31415926"), TimeoutError("31415926"), ConnectionError("31415926")])
async def test_the_message_of_an_unexpected_error_stays_in_the_log(
    get: Get, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    answer, body = await get(error)
    assert (answer.status, body["code"]) == (500, "internal")
    assert "31415926" not in str(body)
    assert "31415926" in caplog.text and str(body["reference"]) in caplog.text


async def test_an_error_after_half_an_answer_cuts_the_connection() -> None:
    async def stream(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        await answer.write(b"half")
        raise StoreUnavailable("Full.")

    async with listening(application(stream)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: o8\r\n\r\n")
        received = await asyncio.wait_for(reader.read(), 5)
        writer.close()
    assert received.count(b"HTTP/1.1") == 1
    assert received.endswith(b"4\r\nhalf\r\n")  # without the last chunk, so the client knows
