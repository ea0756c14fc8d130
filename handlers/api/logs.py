"""A service's log as text, to the end or for as long as the reader stays."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Annotated

from aiohttp import web
from pydantic import AfterValidator, Field

from bot.errors import O8Error
from handlers.api.routing import Call, Route, Values

_LOOK_S = 0.25  # how soon a reader of a silent service is noticed to be gone


def _in_utc(time: datetime) -> datetime:
    time = time if time.tzinfo else time.replace(tzinfo=UTC)
    if not 1970 <= time.year <= 9998:  # Docker counts from 1970; conversions overflow in the last year
        raise ValueError("expected a time after 1970")
    return time.astimezone(UTC)


class Part(Values):
    """`tail`: last lines of each replica; `since`: only younger ones; `follow`: also those to come."""

    tail: int = Field(100, ge=0, le=100_000)
    since: Annotated[datetime, AfterValidator(_in_utc)] | None = None
    follow: bool = False
    timestamps: bool = False


async def read(call: Call[None, Part]) -> web.StreamResponse:
    """Lines of all replicas that serve, secrets masked."""
    part = call.query
    source = call.services.operations.logs(
        call.name, tail=part.tail, since=part.since, follow=part.follow, timestamps=part.timestamps
    )
    async with aclosing(source), aclosing(_paced(source)) as lines:
        first = await anext(lines, None)  # raises what is answered with a status of its own
        response = web.StreamResponse(headers={"Content-Type": "text/plain; charset=utf-8"})
        await response.prepare(call.request)
        with contextlib.suppress(ConnectionError):
            await _send(call.request, response, first, lines)
    return response


async def _send(
    request: web.Request, response: web.StreamResponse, first: str | None, rest: AsyncIterator[str | None]
) -> None:
    """Until the log or the reader ends. A slow reader slows the source; memory stays bounded."""
    line: str | None = first
    try:
        while request.transport is not None and not request.transport.is_closing():
            if line is not None:
                await response.write(line.encode(errors="replace") + b"\n")
            line = await anext(rest)
    except StopAsyncIteration:
        await response.write_eof()
    except O8Error as trouble:
        await response.write(f"o8: the log ends here: {trouble}\n".encode())


async def _paced(source: AsyncIterator[str]) -> AsyncGenerator[str | None, None]:
    """Lines of `source`, and None whenever none has come for a while: time to look whether the reader is there."""
    coming: asyncio.Future[str | None] | None = None
    try:
        while True:
            coming = coming or asyncio.ensure_future(anext(source, None))
            await asyncio.wait({coming}, timeout=_LOOK_S)
            if not coming.done():
                yield None
                continue
            line, coming = coming.result(), None
            if line is None:
                return
            yield line
    finally:
        if coming is not None:  # cancelled in the source, which then puts its own things in order
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)


ROUTES = (Route("GET", "/services/{name}/logs", read, query=Part),)
