"""A service's log: its last lines as text, or what comes as text, server-sent events or over a WebSocket."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from datetime import UTC, datetime
from typing import Annotated, Any

from aiohttp import web
from pydantic import AfterValidator, BeforeValidator, Field

from bot.errors import O8Error
from bot.logs import Cursor, Line, as_text, as_text_with_times, while_allowed
from bot.permissions import Action
from handlers import live_logs
from handlers.access import on_service
from handlers.api.routing import Call, Route, Text, Values
from handlers.streams import Stream, streaming

_AT_ONCE = 64 * 1024  # characters
_TEXT = "text/plain; charset=utf-8"


def _in_utc(time: datetime) -> datetime:
    time = time if time.tzinfo else time.replace(tzinfo=UTC)
    if not 1970 <= time.year <= 9998:  # Docker counts from 1970; conversions overflow in the last year
        raise ValueError("expected a time after 1970")
    return time.astimezone(UTC)


def _written(time: object) -> object:
    if isinstance(time, str) and time.replace(".", "", 1).lstrip("+-").isdecimal():
        raise ValueError("expected a time such as 2026-11-24T09:00:00Z")  # not seconds since some day
    return time


class Part(Values):
    """`tail`: last lines of each replica; `since`: only younger ones; `search`: only lines with it, in any case."""

    tail: int = Field(100, ge=0, le=100_000)
    since: Annotated[datetime, BeforeValidator(_written), AfterValidator(_in_utc)] | None = None
    search: Annotated[Text, Field(max_length=200)] = ""


class Lines(Part):
    """`follow`: also lines to come; `timestamps`: before each line."""

    follow: bool = False
    timestamps: bool = False


class Frames(Part):
    """`timestamps`: before each line."""

    timestamps: bool = False


class LiveEvents(Part):
    """`after`: the id of the last event that was seen, instead of the header `Last-Event-ID`."""

    after: Annotated[Text, Field(max_length=8192)] = ""


async def read(call: Call[None, Lines]) -> web.StreamResponse:
    """Lines of all replicas that serve, secrets masked; with `follow=1` for as long as the reader stays."""
    part = call.query
    if part.follow:
        return await live_logs.as_lines(call.request, followed(call, part), has_times=part.timestamps)
    source = call.services.logs.read(call.name, tail=part.tail, since=part.since)
    async with aclosing(source):
        return await _send(call.request, source, part)


async def events(call: Call[None, LiveEvents]) -> web.StreamResponse:
    """Events `lines`: arrays of `[time, number of the replica, text]`; reconnects without a gap or a double line."""
    place = call.query.after or call.request.headers.get("Last-Event-ID", "")
    after = Cursor.read(place) if place else None
    return await live_logs.as_events(call.request, followed(call, call.query, after), after)


async def frames(call: Call[None, Frames]) -> web.StreamResponse:
    """A WebSocket; each frame holds some lines."""
    return await live_logs.as_frames(call.request, followed(call, call.query), has_times=call.query.timestamps)


def followed(call: Call[None, Any], part: Part, after: Cursor | None = None) -> live_logs.Batches:
    async def check() -> None:
        await call.services.authority.require(call.person.actor, Action.VIEW_LOGS, call.name)

    batches = call.services.logs.follow(call.name, tail=part.tail, since=part.since, after=after)
    return while_allowed(live_logs.searched(batches, part.search), check)


async def _send(request: web.Request, source: AsyncGenerator[Line, None], part: Lines) -> web.StreamResponse:
    """All of a log that ends. A slow reader slows the source."""
    stream, wanted = Stream(request, _TEXT), part.search.lower()
    form = as_text_with_times if part.timestamps else as_text
    held: list[Line] = []
    size = 0
    line = await anext(source, None)  # raises what is answered with a status of its own
    await stream.open()
    with suppress(ConnectionError), streaming(request):
        try:
            while line is not None:
                if wanted in line.text.lower():
                    held.append(line)
                    size += len(line.text)
                if size > _AT_ONCE:
                    await stream.write(form(held))
                    held, size = [], 0
                line = await anext(source, None)
            await stream.end(form(held))
        except O8Error as trouble:
            await stream.end(form(held) + f"--- The log ends here: {trouble} ---\n".encode())
    return stream.response


ROUTES = (
    Route("GET", "/services/{name}/logs", read, on_service(Action.VIEW_LOGS), _TEXT, query=Lines),
    Route("GET", "/services/{name}/logs/events", events, on_service(Action.VIEW_LOGS), "text/event-stream",
          query=LiveEvents),
    Route("GET", "/services/{name}/logs/ws", frames, on_service(Action.VIEW_LOGS), _TEXT, query=Frames, status=101),
)  # fmt: skip
