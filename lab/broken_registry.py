"""A registry that misbehaves as it is told: the faults that a real one cannot be made to show."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from aiohttp import web

from lab.http_server import serving


class Reply(NamedTuple):
    """One answer. With `is_endless` the body is repeated for ever, with `is_silent` nothing ever comes."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = {}
    is_endless: bool = False
    is_silent: bool = False


class Seen(NamedTuple):
    path: str
    authorization: str


class BrokenRegistry:
    """`script` says what each path answers, one reply after the other, the last for ever; the rest is 404."""

    def __init__(self) -> None:
        self.address = ""
        self.seen: list[Seen] = []
        self._scripts: dict[str, list[Reply]] = {}

    def script(self, path: str, *replies: Reply) -> None:
        self._scripts[path] = list(replies)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(Seen(request.path, request.headers.get("Authorization", "")))
        replies = self._scripts.get(request.path, [Reply(404)])
        reply = replies.pop(0) if len(replies) > 1 else replies[0]
        if reply.is_silent:
            await asyncio.sleep(3600)
        if not reply.is_endless:
            return web.Response(status=reply.status, body=reply.body, headers=reply.headers)
        response = web.StreamResponse(status=reply.status, headers=reply.headers)
        await response.prepare(request)
        while True:
            await response.write(reply.body)


@contextmanager
def broken_registry(tls: ssl.SSLContext | None = None) -> Iterator[BrokenRegistry]:
    registry = BrokenRegistry()
    application = web.Application()
    application.router.add_get("/{path:.*}", registry.answer)
    with serving(application, tls) as address:
        registry.address = address
        yield registry
