"""One middleware: every error becomes a status and a problem body (RFC 9457, application/problem+json).

To give an error class another status: a row in `STATUS`.
"""

from __future__ import annotations

import logging
import math
import secrets
from collections.abc import Mapping
from http import HTTPStatus

import orjson
from aiohttp import web
from aiohttp.typedefs import Handler

from bot.errors import (
    Conflict,
    DiskFull,
    EngineUnavailable,
    Forbidden,
    GitHubError,
    GitHubUnavailable,
    InvalidInput,
    LoginRefused,
    NotFound,
    O8Error,
    RegistryError,
    RegistryUnavailable,
    StoreUnavailable,
    TooManyTries,
)

STATUS: dict[type[O8Error], HTTPStatus] = {
    InvalidInput: HTTPStatus.BAD_REQUEST,
    Forbidden: HTTPStatus.FORBIDDEN,
    LoginRefused: HTTPStatus.UNAUTHORIZED,
    TooManyTries: HTTPStatus.TOO_MANY_REQUESTS,
    NotFound: HTTPStatus.NOT_FOUND,
    Conflict: HTTPStatus.CONFLICT,
    StoreUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    EngineUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    RegistryUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    GitHubUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    GitHubError: HTTPStatus.BAD_GATEWAY,
    RegistryError: HTTPStatus.BAD_GATEWAY,
    DiskFull: HTTPStatus.INSUFFICIENT_STORAGE,
    O8Error: HTTPStatus.INTERNAL_SERVER_ERROR,
}
_NEWER_NAMES = {"CONTENT_TOO_LARGE": "REQUEST_ENTITY_TOO_LARGE"}  # of Python 3.13: a `code` stays what it was
RETRY_AFTER_S = 5  # told to callers when an error names no time of its own
_log = logging.getLogger(__name__)


class Refusal(O8Error):
    """An answer that only HTTP knows. `is_transient` with status 503 tells the caller when to come back."""

    def __init__(
        self, status: HTTPStatus, code: str, message: str, next_step: str = "", *, is_transient: bool = False
    ) -> None:
        super().__init__(message, next_step)
        self.status = status
        self.code = code
        self.is_transient = is_transient


@web.middleware
async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answers every error of `handler`. Redirects pass."""
    try:
        return await handler(request)
    except Exception as error:
        if request.writer.output_size:
            raise  # half an answer is out already: aiohttp logs it and cuts the connection
        if isinstance(error, web.HTTPException):
            return _of_aiohttp(request, error)
        return _of_o8(request, error) if isinstance(error, O8Error) else _unexpected(request, error)


def _of_o8(request: web.Request, error: O8Error) -> web.Response:
    status = status_of(error)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        _log.warning("%s %s: %s", request.method, request.rel_url.raw_path, error)
    headers = {}
    if status in (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS) and error.is_transient:
        headers["Retry-After"] = str(math.ceil(getattr(error, "retry_after", 0) or RETRY_AFTER_S))
    suggestions = error.suggestions if isinstance(error, NotFound) else ()
    return _problem(
        request, status, error.code, error.message, error.next_step, headers=headers, suggestions=list(suggestions)
    )


def _of_aiohttp(request: web.Request, error: web.HTTPException) -> web.Response:
    if error.status < HTTPStatus.BAD_REQUEST:
        raise error
    status = HTTPStatus(error.status)
    headers = {name: value for name, value in error.headers.items() if not name.startswith("Content-")}
    code = _NEWER_NAMES.get(status.name, status.name).lower()
    return _problem(request, status, code, f"{status.description or status.phrase}.", headers=headers)


def _unexpected(request: web.Request, error: Exception) -> web.Response:
    """The message may hold anything, so it goes into the log alone; `reference` finds it there."""
    reference = secrets.token_hex(6)
    _log.error("%s %s failed, reference %s", request.method, request.rel_url.raw_path, reference, exc_info=error)
    return _problem(
        request, HTTPStatus.INTERNAL_SERVER_ERROR, "internal", "Something unexpected went wrong inside o8.",
        f"o8's log has the details under the reference {reference}.", reference=reference,
    )  # fmt: skip


def status_of(error: O8Error) -> HTTPStatus:
    """What HTTP calls it."""
    if isinstance(error, Refusal):
        return error.status
    return next(STATUS[each] for each in type(error).__mro__ if each in STATUS)


# https://www.rfc-editor.org/rfc/rfc9457 (without "type" it is about:blank, and the title that of the status)
def _problem(
    request: web.Request, status: HTTPStatus, code: str, detail: str, next_step: str = "",
    *, headers: Mapping[str, str] | None = None, suggestions: list[str] | None = None, **more: str,
) -> web.Response:  # fmt: skip
    is_original = getattr(request.match_info.handler, "style", "") == "original"
    found = dict(headers or {})
    if status is HTTPStatus.UNAUTHORIZED:  # Basic makes browsers ask for a password by themselves
        found.setdefault("WWW-Authenticate", f'{"Basic" if is_original else "Bearer"} realm="Orchestr8"')
    if is_original:
        body: dict[str, object] = {"error": f"{detail} {next_step}".strip(), "code": code}
        return web.Response(status=status, body=orjson.dumps(body), headers=found, content_type="application/json")
    body = {
        "title": status.phrase, "status": status, "detail": detail, "code": code,
        "next_step": next_step, "suggestions": suggestions or [], **more,
    }  # fmt: skip
    return web.Response(status=status, body=orjson.dumps(body), headers=found, content_type="application/problem+json")
