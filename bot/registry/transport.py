"""One bounded GET to a registry, and what can go wrong with it. Knows HTTP, no logins and no images."""

from __future__ import annotations

import math
import os
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from ipaddress import AddressValueError, IPv4Address
from typing import NamedTuple

import aiohttp
import orjson
from yarl import URL

from bot.errors import InvalidInput, RegistryError, RegistryUnavailable

MAX_BODY = 4 * 1024 * 1024  # bytes; larger manifests need not be taken (OCI distribution spec)
_MAX_REDIRECTS = 5
_ERROR_CODE = re.compile(r"[A-Z_]{1,64}")


class Answer(NamedTuple):
    """A whole response. `asked` is the URL of the request, `url` the one that answered, after redirects."""

    asked: URL
    url: URL
    status: int
    body: bytes
    content_type: str
    digest: str  # Docker-Content-Digest, "" without
    challenges: tuple[str, ...]  # WWW-Authenticate, one string per header line
    next_page: URL | None  # Link with rel="next"
    retry_after: float  # seconds, 0 when none was named

    @property
    def is_redirected_away(self) -> bool:
        """Another server answered: its 401 is no business of ours, and it gets no credentials."""
        return self.url.origin() != self.asked.origin()

    @property
    def error_code(self) -> str:
        """The first code of a registry's error body, such as `MANIFEST_UNKNOWN`; "" without.

        Only the code, never the message: that is the other side's free text.
        """
        try:
            code = orjson.loads(self.body)["errors"][0]["code"]
        except (ValueError, LookupError, TypeError):
            return ""
        return code if isinstance(code, str) and _ERROR_CODE.fullmatch(code) else ""


class Transport:
    """GETs with a time limit of `timeout_s` seconds each and a body of at most `MAX_BODY` bytes."""

    def __init__(self, session: aiohttp.ClientSession, timeout_s: float) -> None:
        self._session = session
        self._timeout_s = timeout_s

    async def get(self, url: URL, *, authorization: str = "", accept: str = "*/*") -> Answer:
        """Any status is an answer. aiohttp drops `Authorization` on a redirect to another origin.

        Raises `RegistryUnavailable` without a connection or in time, `RegistryError` for an answer that is
        too long or no sound HTTP. Causes are cut off (`from None`): aiohttp's hold the request's headers.
        """
        headers = {"Accept": accept, "Accept-Encoding": "identity"}
        if authorization:
            headers["Authorization"] = authorization
        timeout = aiohttp.ClientTimeout(total=self._timeout_s)
        try:
            async with self._session.get(
                url, headers=headers, timeout=timeout, max_redirects=_MAX_REDIRECTS
            ) as response:
                return await _read(url, response)
        except TimeoutError:
            raise RegistryUnavailable(
                f"{host_of(url)} gave no whole answer within {self._timeout_s:g} s.", "Try again later."
            ) from None
        except aiohttp.ClientSSLError:
            raise RegistryUnavailable(
                f"{host_of(url)} has no certificate that this machine trusts.", "Check address and clock."
            ) from None
        except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError) as error:
            raise RegistryUnavailable(
                f"{host_of(url)} gave no answer: {_reason(error)}.", "Check the address and the network."
            ) from None
        except (aiohttp.ClientError, ValueError) as error:  # ValueError: a Location or Link that is no URL
            raise RegistryError(
                f"{host_of(url)} sent an answer that o8 cannot follow ({type(error).__name__}).",
                "Check that this address is a container registry.",
            ) from None


def base_url(host: str) -> URL:
    """`https://host`; http only for this machine itself (127.0.0.0/8, localhost). Raises `InvalidInput`."""
    try:
        url = URL(f"https://{host}")
        return url.with_scheme("http").with_port(url.explicit_port) if is_loopback(url) else url
    except ValueError:
        raise InvalidInput(
            f"{host!r} is not a registry's address.", "It looks like ghcr.io or 127.0.0.1:5000."
        ) from None


def host_of(url: URL) -> str:
    """`host[:port]` as people write it; yarl's own `authority` would add the port of https."""
    return url.host_port_subcomponent or ""


def is_loopback(url: URL) -> bool:
    try:
        return url.host == "localhost" or IPv4Address(url.host or "").is_loopback
    except AddressValueError:
        return False


def check(answer: Answer) -> None:
    """Raises unless the status is 200: `RegistryUnavailable` for 429 and 5xx, else `RegistryError`."""
    host = host_of(answer.url)
    if answer.status == 200:
        return
    if answer.status == 429:
        raise RegistryUnavailable(
            f"{host} limits the number of requests (429).",
            "Wait, or set credentials: registries allow more to known users.",
            answer.retry_after,
        )
    if answer.status >= 500 or answer.is_redirected_away:
        # A storage host that refuses its link (expired, wrong clock) gives a fresh one next time.
        raise RegistryUnavailable(
            f"{host} has a fault (status {answer.status}).", "Try again later.", answer.retry_after
        )
    code = f", {answer.error_code}" if answer.error_code else ""
    raise RegistryError(
        f"{host} did not take the request (status {answer.status}{code}).",
        "Check that this address is a container registry.",
    )


async def _read(asked: URL, response: aiohttp.ClientResponse) -> Answer:
    body = bytearray()
    async for chunk in response.content.iter_chunked(64 * 1024):
        body += chunk
        if len(body) > MAX_BODY:
            raise RegistryError(
                f"{host_of(response.url)} sent more than {MAX_BODY >> 20} MiB instead of a document.",
                "Check that this address is a container registry.",
            )
    link = response.links.get("next")
    next_page = link.get("url") if link else None
    return Answer(
        asked=asked,
        url=response.url,
        status=response.status,
        body=bytes(body),
        content_type=response.content_type,
        digest=response.headers.get("Docker-Content-Digest", ""),
        challenges=tuple(response.headers.getall("WWW-Authenticate", ())),
        next_page=next_page if isinstance(next_page, URL) else None,
        retry_after=_seconds(response.headers.get("Retry-After", "")),
    )


def _seconds(retry_after: str) -> float:
    """RFC 9110, 10.2.3: seconds or a date."""
    try:
        seconds = float(retry_after)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(retry_after).astimezone(UTC) - datetime.now(UTC)).total_seconds()
        except (ValueError, OverflowError):
            return 0
    return max(0, seconds) if math.isfinite(seconds) else 0


def _reason(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "its name is not known"
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno).lower()
    return "the connection broke off"
