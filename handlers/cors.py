"""Pages of other origins that may call the API (`ALLOWED_ORIGINS`), and what browsers are told with every answer.

https://fetch.spec.whatwg.org/#http-cors-protocol
"""

from __future__ import annotations

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from handlers.auth import ORIGINS

_ALLOWED = {
    hdrs.ACCESS_CONTROL_ALLOW_METHODS: "GET, POST, PUT, PATCH, DELETE",
    hdrs.ACCESS_CONTROL_ALLOW_HEADERS: "Authorization, Content-Type, Idempotency-Key, Last-Event-ID",
    hdrs.ACCESS_CONTROL_MAX_AGE: "600",
}


def allow(application: web.Application, origins: tuple[str, ...]) -> None:
    """Adds the headers to every answer of `application`, streams and errors too."""
    application[ORIGINS] = origins
    application.middlewares.append(preflight)
    application.on_response_prepare.append(_mark)


@web.middleware
async def preflight(request: web.Request, handler: Handler) -> web.StreamResponse:
    """What a browser asks before a page's call: answered without a login, for every path."""
    if request.method == hdrs.METH_OPTIONS and hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers:
        return web.Response(status=204, headers=_ALLOWED if _is_allowed(request) else {})
    return await handler(request)


async def _mark(request: web.Request, response: web.StreamResponse) -> None:
    """Runs for every answer; what is set here must also be right for WebSockets."""
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Referrer-Policy", "same-origin")
    response.headers.add(hdrs.VARY, hdrs.ORIGIN)
    if _is_allowed(request):
        response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = request.headers[hdrs.ORIGIN]
        response.headers[hdrs.ACCESS_CONTROL_ALLOW_CREDENTIALS] = "true"
        response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = "Link, Retry-After, Idempotency-Replayed"


def _is_allowed(request: web.Request) -> bool:
    return request.headers.get(hdrs.ORIGIN, "") in request.config_dict[ORIGINS]
