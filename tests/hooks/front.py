"""What stands between GitHub and o8: passes on what comes, or answers itself, or is not there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web

from lab import github
from lab.ports import free_port


class Front:
    """At `url`. `behind` is the address of o8; `status` not 0: what is answered instead, with `text` and `headers`."""

    def __init__(self) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        self.behind = ""
        self.status = 0
        self.is_slow = False  # answers after GitHub's patience
        self.text = ""
        self.headers: dict[str, str] = {}
        self.passed: list[str] = []  # ids of deliveries
        self._runner: web.AppRunner | None = None

    async def open(self) -> None:
        application = web.Application(client_max_size=2**25)
        application.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", int(self.url.rpartition(":")[2])).start()

    async def close(self) -> None:
        if self._runner:
            await self._runner.cleanup()
            self._runner = None

    async def _answer(self, request: web.Request) -> web.Response:
        if self.is_slow:
            await asyncio.sleep(github.TIMEOUT_S + 1)
        if self.status:
            return web.Response(status=self.status, text=self.text, headers=self.headers)
        self.passed.append(request.headers["X-GitHub-Delivery"])
        kept = {name: value for name, value in request.headers.items() if name.lower().startswith(("x-", "content-"))}
        async with (
            aiohttp.ClientSession() as session,
            session.post(self.behind + request.path, data=await request.read(), headers=kept) as found,
        ):
            return web.Response(status=found.status, body=await found.read(), content_type=found.content_type)


@asynccontextmanager
async def standing() -> AsyncIterator[Front]:
    front = Front()
    await front.open()
    try:
        yield front
    finally:
        await front.close()
