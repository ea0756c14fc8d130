"""Answers that do not end: lines, server-sent events, WebSockets.

They end when the reader goes, when the login with which they began is over, or when o8 ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from weakref import WeakSet

import orjson
from aiohttp import hdrs, web

from handlers.auth import LOGIN, Login

PATIENCE_S = 30.0  # a reader that takes nothing for so long is gone
HEARTBEAT_S = 15.0  # shorter than the patience of proxies
LOOK_AGAIN_S = 5.0  # how long an answer goes on to somebody whose login is over


class _Tasks(WeakSet["asyncio.Task[object]"]):
    """Those that send."""


_OPEN = web.AppKey("open streams", _Tasks)


def prepare(application: web.Application) -> None:
    """Streams of `application` end with it, instead of holding up its end."""
    application[_OPEN] = _Tasks()

    async def end(application: web.Application) -> None:
        found = application[_OPEN]
        for task in list(found):
            task.cancel()

    application.on_shutdown.append(end)


@contextmanager
def streaming(request: web.Request) -> Iterator[None]:
    """While an answer is sent that does not end by itself."""
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 handlers run in tasks
    found = request.config_dict[_OPEN]
    found.add(task)
    login = request.get(LOGIN)
    watch = asyncio.create_task(_cut(task, request, login)) if login else None
    try:
        yield
    finally:
        found.discard(task)
        if watch:
            watch.cancel()


async def _cut(task: asyncio.Task[object], request: web.Request, login: Login) -> None:
    while True:
        await asyncio.sleep(LOOK_AGAIN_S)
        if await login.has_ended(request):
            task.cancel()
            return


def is_there(request: web.Request) -> bool:
    """Whether the reader still is."""
    return request.transport is not None and not request.transport.is_closing()


@asynccontextmanager
async def patience(request: web.Request) -> AsyncIterator[None]:
    """Something is sent meanwhile. A reader that does not take it is cut off: raises `ConnectionResetError`."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            yield
    except TimeoutError:
        if request.transport:
            request.transport.abort()  # what waits to be sent is let go at once
        raise ConnectionResetError from None


class Stream:
    """A response that is written piece by piece. Raises `ConnectionError` once the reader is gone, or takes nothing."""

    def __init__(self, request: web.Request, content_type: str) -> None:
        self._request = request
        # nginx must pass on each piece: https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_buffering
        headers = {"Content-Type": content_type, "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        self.response = web.StreamResponse(headers=headers)

    async def open(self) -> None:
        with suppress(ConnectionError):  # who has gone already is noticed by the first `write`
            await self.response.prepare(self._request)

    async def write(self, piece: bytes) -> None:
        # HEAD is answered without a body: what was sent all the same would be taken for the next answer.
        if not is_there(self._request) or self._request.method == hdrs.METH_HEAD:
            raise ConnectionResetError
        async with patience(self._request):
            await self.response.write(piece)

    async def end(self, piece: bytes = b"") -> None:
        if piece:
            await self.write(piece)
        async with patience(self._request):
            await self.response.write_eof()


class Events(Stream):
    """https://html.spec.whatwg.org/multipage/server-sent-events.html"""

    def __init__(self, request: web.Request) -> None:
        super().__init__(request, "text/event-stream; charset=utf-8")

    async def send(self, event: str, data: bytes, id: object = "") -> None:
        """`data` is JSON, which has no line ends."""
        head = f"event: {event}\n" + (f"id: {id}\n" if id != "" else "")
        await self.write(head.encode() + b"data: " + data + b"\n\n")

    async def trouble(self, message: str) -> None:
        """The last event of a stream that cannot go on."""
        await self.send("trouble", orjson.dumps({"message": message}))

    async def beat(self, id: object = "") -> None:
        """Tells proxies, and o8 itself, that both ends are there; and the reader, where it is."""
        await self.write(f": still here\n{f'id: {id}' if id else ''}\n\n".encode())
