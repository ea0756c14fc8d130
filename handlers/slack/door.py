"""POST /slack/events: everything that Slack sends over HTTP. Refuses first; what is genuine goes to bolt."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

import orjson
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from handlers.errors import Refusal
from handlers.slack.signature import is_genuine

PATH = "/slack/events"
MOST_BYTES, PATIENCE_S = 1024 * 1024, 5.0
_log = logging.getLogger(__name__)


class Door:
    """`dispatch` takes what a genuine request says, and answers within Slack's three seconds."""

    def __init__(self, secret: bytes, dispatch: Callable[[dict[str, Any]], Awaitable[web.Response]]) -> None:
        self._secret = secret
        self._dispatch = dispatch

    async def receive(self, request: web.Request) -> web.Response:
        """401 for whatever is not surely Slack's; raises `Refusal`."""
        if not self._secret:
            raise Refusal(
                HTTPStatus.SERVICE_UNAVAILABLE, "slack_off", "This address is off, because no signing secret is set.",
                "Set SLACK_SIGNING_SECRET to that of the app, or SLACK_APP_TOKEN for Socket Mode, and restart o8.",
            )  # fmt: skip
        body = await self._body(request)
        stamps = request.headers.getall("X-Slack-Request-Timestamp", [])
        signatures = request.headers.getall("X-Slack-Signature", [])
        if not is_genuine(self._secret, body, stamps, signatures, time.time()):
            _log.warning("A request to %s from %s was refused: not signed by Slack", PATH, request.remote)
            raise _forged()
        try:
            text = body.decode()
        except UnicodeDecodeError:
            raise _forged() from None
        return await self._dispatch(payload_of(text))

    async def _body(self, request: web.Request) -> bytes:
        found = bytearray()
        try:
            async with asyncio.timeout(PATIENCE_S):
                async for chunk in request.content.iter_any():
                    found += chunk
                    if len(found) > MOST_BYTES:
                        status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
                        raise Refusal(status, "too_large", "Slack sends no more than 1 MiB.")
        except TimeoutError:
            raise Refusal(HTTPStatus.REQUEST_TIMEOUT, "too_slow", "The request did not arrive in time.") from None
        except (ConnectionError, web.RequestPayloadError, HttpProcessingError):
            raise Refusal(HTTPStatus.BAD_REQUEST, "broken_body", "The body did not arrive whole.") from None
        return bytes(found)


def payload_of(body: str) -> dict[str, Any]:
    """What a request says: JSON (events), a form with JSON in `payload` (buttons, forms, menus), or a form (commands).

    Read here, because bolt takes every command for an interaction in which somebody wrote the word "payload", and
    answers 500 to what is no JSON. Raises `Refusal` for what is none of the three.
    """
    fields = dict(parse_qsl(body, keep_blank_values=True))
    text = fields.get("payload", body if body.lstrip().startswith("{") else "")
    try:
        found = orjson.loads(text) if text else fields
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        raise Refusal(HTTPStatus.BAD_REQUEST, "bad_body", "The body is nothing that Slack sends.")
    return found


def _forged() -> Refusal:
    return Refusal(
        HTTPStatus.UNAUTHORIZED, "bad_signature", "The request is not signed by Slack, or too old.",
        "SLACK_SIGNING_SECRET must be that of the app, and the clock must be right.",
    )  # fmt: skip
