"""GET /healthz: o8 itself is alive and listens. Says nothing of Docker or nginx; `o8 doctor` does."""

from __future__ import annotations

from aiohttp import web


def routes(services: object) -> list[web.RouteDef]:
    """The one route; it needs no service, so it answers whatever else is broken."""
    return [web.get("/healthz", _alive)]


async def _alive(request: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})
