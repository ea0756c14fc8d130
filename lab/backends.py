"""Small services behind nginx, without containers: each says who it is and what reached it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from bot.models import Address


class Backend:
    """Answers `GET /` with its name and the request's headers; counts what it gets at `/cut` before hanging up."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.address = Address("127.0.0.1", 0)
        self.cuts = 0

    def application(self) -> web.Application:
        application = web.Application(client_max_size=2**24)
        application.router.add_get("/ws", self._websocket)
        application.router.add_get("/events", self._events)
        application.router.add_get("/busy", self._busy)
        application.router.add_get("/accel", self._accel)
        application.router.add_route("*", "/cut", self._cut)
        application.router.add_route("*", "/{path:.*}", self._answer)
        return application

    async def _answer(self, request: web.Request) -> web.Response:
        body = await request.read()
        found: dict[str, Any] = {
            "name": self.name, "method": request.method, "path": request.path_qs, "length": len(body),
            "headers": {name.lower(): value for name, value in request.headers.items()},
        }  # fmt: skip
        return web.json_response(found)

    async def _cut(self, request: web.Request) -> web.Response:
        self.cuts += 1
        if request.transport is not None:
            request.transport.abort()
        return web.Response()

    async def _busy(self, request: web.Request) -> web.Response:
        return web.Response(status=503, text="busy, says the service")

    async def _accel(self, request: web.Request) -> web.Response:
        return web.Response(text="as I said", headers={"X-Accel-Redirect": request.query["to"]})

    async def _websocket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(f"{self.name}: {message.data}")
        return socket

    async def _events(self, request: web.Request) -> web.StreamResponse:
        """One event at once, and nothing more until the visitor has gone."""
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"data: first\n\n")
        await asyncio.sleep(60)
        return response


@asynccontextmanager
async def backend(name: str) -> AsyncIterator[Backend]:
    """A running one, on a free port of 127.0.0.1."""
    found = Backend(name)
    runner = web.AppRunner(found.application(), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.address = Address(*runner.addresses[0][:2])
    try:
        yield found
    finally:
        await runner.cleanup()
