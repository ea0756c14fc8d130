"""POST /webhooks/github: takes GitHub's deliveries. Refuses first, reads later, answers when it is on disk.

What a delivery says is read in `bot.webhooks`; what to do about it is decided in the inbox.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import NamedTuple, Protocol

import orjson
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from bot.settings import Settings
from bot.webhooks import PATH, Ignored, PackageEvent, Verdict, is_genuine, read
from handlers.access import public
from handlers.errors import Refusal

_DELIVERY = re.compile(r"[A-Za-z0-9-]{1,128}")
_EVENT = re.compile(r"[A-Za-z0-9_]{1,64}")
_log = logging.getLogger(__name__)


class Limits(NamedTuple):
    """What one sender may take: GitHub's own cap in bytes, seconds for a whole body, bodies at once."""

    size: int = 25 * 1024 * 1024
    seconds: float = 10.0
    at_once: int = 16


class Inbox(Protocol):
    async def receive(
        self, *, delivery: str, event: str, body: bytes, package: PackageEvent | None, ignored: str
    ) -> Verdict:
        """Commits the delivery with its verdict; raises `StoreUnavailable`."""

    def refuse(self) -> None:
        """Notes a delivery that is not genuine."""


class Catalogue(Protocol):
    def look_soon(self, image: str) -> None:
        """`image` was pushed."""


class Services(Protocol):
    """What this entry point needs of `bot.services.Services`."""

    @property
    def settings(self) -> Settings: ...

    @property
    def inbox(self) -> Inbox: ...

    @property
    def catalogue(self) -> Catalogue: ...


def routes(services: Services, limits: Limits = Limits()) -> list[web.RouteDef]:  # noqa: B008 - immutable
    """The one route; other methods get 405 from aiohttp."""
    return [web.post(PATH, public(Webhook(services, limits).receive))]


# https://docs.github.com/en/webhooks/webhook-events-and-payloads#delivery-headers
class Webhook:
    def __init__(self, services: Services, limits: Limits) -> None:
        self._services = services
        self._limits = limits
        self._places = asyncio.Semaphore(limits.at_once)

    async def receive(self, request: web.Request) -> web.Response:
        """202 accepted, 200 ignored or duplicate; raises `Refusal`, `InvalidInput`, `StoreUnavailable`."""
        secrets = self._services.settings.webhook_secrets
        self._refuse_early(request.headers, is_on=bool(secrets))
        async with self._places:
            body = await _within(self._limits, request)
            if not is_genuine(secrets, body, request.headers.get("X-Hub-Signature-256")):
                self._services.inbox.refuse()
                raise _forged(request)
            return await self._take(request.headers, body)

    def _refuse_early(self, headers: Mapping[str, str], *, is_on: bool) -> None:
        if not is_on:
            raise Refusal(
                HTTPStatus.SERVICE_UNAVAILABLE, "webhook_off",
                "The webhook endpoint is off, because no secret is set.",
                "Set GITHUB_WEBHOOK_SECRET to the secret of the webhook at GitHub and restart o8.",
            )  # fmt: skip
        # GitHub sends none; what unfolds to gigabytes comes from somebody else.
        if headers.get("Content-Encoding", "identity").lower() != "identity":
            raise Refusal(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "content_encoding", "Compressed deliveries are not read.",
                "Send the body as it is, without Content-Encoding.",
            )  # fmt: skip
        if self._places.locked():
            raise Refusal(
                HTTPStatus.SERVICE_UNAVAILABLE, "too_busy",
                f"{self._limits.at_once} deliveries are being received already.",
                "Deliver it again in a moment.", is_transient=True,
            )  # fmt: skip

    async def _take(self, headers: Mapping[str, str], body: bytes) -> web.Response:
        delivery = _name(headers, "X-GitHub-Delivery", _DELIVERY)
        event = _name(headers, "X-GitHub-Event", _EVENT)
        registry = self._services.settings.docker_server_address
        found = read(event, headers.get("Content-Type", ""), body, registry)
        package, ignored = (None, found.reason) if isinstance(found, Ignored) else (found, "")
        verdict = await self._services.inbox.receive(
            delivery=delivery, event=event, body=body, package=package, ignored=ignored
        )
        if package is not None and verdict.kind != "duplicate":
            self._services.catalogue.look_soon(package.image)
        return _answer(delivery, verdict)


async def _within(limits: Limits, request: web.Request) -> bytes:
    """The raw body: a signature covers exactly these bytes. aiohttp's own limit of 1 MiB is not for us."""
    try:
        async with asyncio.timeout(limits.seconds):
            return await _capped(request, limits.size)
    except TimeoutError:
        raise Refusal(
            HTTPStatus.REQUEST_TIMEOUT, "too_slow",
            f"The delivery did not arrive within {limits.seconds:g} seconds.", "Deliver it again.",
        ) from None  # fmt: skip
    except (ConnectionError, web.RequestPayloadError, HttpProcessingError):
        raise Refusal(HTTPStatus.BAD_REQUEST, "broken_body", "The body did not arrive whole.") from None


async def _capped(request: web.Request, size: int) -> bytes:
    too_large = Refusal(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large", f"The delivery is larger than {size} bytes.",
        "GitHub sends at most 25 MB.",
    )  # fmt: skip
    if (request.content_length or 0) > size:
        raise too_large
    body = bytearray()
    async for chunk in request.content.iter_any():  # chunked bodies announce no length
        body += chunk
        if len(body) > size:
            raise too_large
    return bytes(body)


def _forged(request: web.Request) -> Refusal:
    what = "a wrong" if "X-Hub-Signature-256" in request.headers else "no"
    _log.warning("A delivery from %s was refused: %s signature", request.remote, what)
    return Refusal(
        HTTPStatus.UNAUTHORIZED, "bad_signature", "The delivery is not signed with a secret that o8 knows.",
        "The secret of the webhook at GitHub and GITHUB_WEBHOOK_SECRET must be the same.",
    )  # fmt: skip


def _name(headers: Mapping[str, str], header: str, grammar: re.Pattern[str]) -> str:
    value = headers.get(header, "")
    if not grammar.fullmatch(value):
        raise Refusal(HTTPStatus.BAD_REQUEST, "bad_header", f"{header} is missing or of another form.")
    return value


def _answer(delivery: str, verdict: Verdict) -> web.Response:
    """Shown to people at GitHub under "Recent deliveries"."""
    ignored = ("duplicate",) if verdict.kind == "duplicate" else verdict.ignored
    body = {"delivery": delivery, "accepted": verdict.accepted, "ignored": ignored}
    status = HTTPStatus.ACCEPTED if verdict.kind == "accepted" else HTTPStatus.OK
    return web.Response(status=status, body=orjson.dumps(body), content_type="application/json")
