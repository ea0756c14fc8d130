"""What flows for a while: logs, and the progress of a pull."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime

import orjson
from aiohttp import web

from bot.errors import InvalidInput, O8Error
from bot.logs import while_allowed
from bot.permissions import Action
from handlers import live_logs
from handlers.access import globally, named
from handlers.orchestr8 import listing
from handlers.orchestr8.routing import Asked, Route
from handlers.streams import Stream, streaming

_FIRST_LINES, _MOST_LINES = 50, 100_000
_EVERY_S = 0.2  # a pull tells of each piece that came


async def logs(asked: Asked) -> web.StreamResponse:
    """Endless, with times; the last lines first."""
    return await live_logs.as_lines(asked.request, await _batches(asked), has_times=True)


async def frames(asked: Asked) -> web.StreamResponse:
    """The same over a WebSocket."""
    return await live_logs.as_frames(asked.request, await _batches(asked), has_times=True)


async def pull(asked: Asked) -> web.StreamResponse:
    """Lines of JSON while an image comes; the last one is `Done.`, or says what went wrong."""
    reference = asked.request.query.get("image", "")
    news: asyncio.Queue[tuple[int, int]] = asyncio.Queue(1)

    def told(done: int, known: int) -> None:
        if news.full():
            news.get_nowait()
        news.put_nowait((done, known))

    stream = Stream(asked.request, "text/plain; charset=utf-8")
    await stream.open()
    work = asyncio.create_task(asked.services.images.pull(reference, told))
    try:
        with contextlib.suppress(ConnectionError), streaming(asked.request):
            await stream.write(_line("Pulling", reference, ""))
            while not work.done():
                await asyncio.wait({work}, timeout=_EVERY_S)
                if not news.empty():
                    done, known = news.get_nowait()
                    await stream.write(_line("Downloading", reference, f"{done / 1e6:.1f} MB / {known / 1e6:.1f} MB"))
            try:
                digest = await work
                await asked.services.store.record(asked.person.actor, "pull", reference[:255], {"digest": digest})
                await stream.end(_line("Pulled", reference, digest) + b"Done.\n")
            except O8Error as trouble:
                await stream.end(f"Error: {' '.join(str(trouble).split())}\n".encode())
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
    return stream.response


async def _batches(asked: Asked) -> live_logs.Batches:
    services = asked.services
    service = await _service(asked)

    async def check() -> None:
        await services.authority.require(asked.person.actor, Action.VIEW_LOGS, service)

    await check()
    tail, since = asked.request.query.get("tail", str(_FIRST_LINES)), asked.request.query.get("since", "")
    if not (tail.isascii() and tail.isdecimal() and len(tail) < 7 and int(tail) <= _MOST_LINES):
        raise InvalidInput(f"tail = {tail!r:.20} is no number of lines.", f"0 to {_MOST_LINES}.")
    return while_allowed(services.logs.follow(service, tail=int(tail), since=_time(since) if since else None), check)


async def _service(asked: Asked) -> str:
    """By its name, or by the id that the list gave it; the name behind an id is as secret as the service."""
    seen = await asked.services.authority.seen_by(asked.person)
    known = asked.services.observer.service_of(asked.name)
    if asked.name not in seen and known in seen:
        return known
    return next((name for name in seen if listing.id_of(name, []) == asked.name), asked.name)


def _time(text: str) -> datetime:
    """ISO-8601, or seconds since 1970."""
    try:
        found = datetime.fromtimestamp(float(text), UTC) if text[:1].isdigit() and "-" not in text else (
            datetime.fromisoformat(text))  # fmt: skip
        found = found if found.tzinfo else found.replace(tzinfo=UTC)
        if 1970 <= found.year <= 9998:
            return found
    except (ValueError, OverflowError, OSError):
        pass
    raise InvalidInput(f"since = {text!r:.40} is no time.", "Such as 2026-11-24T09:00:00Z.")


def _line(status: str, id: str, progress: str) -> bytes:
    return orjson.dumps({"status": status, "id": id, "progress": progress}) + b"\n"


ROUTES = (
    Route("GET", "/services/{name}/logs", logs, named(Action.VIEW_LOGS)),
    Route("GET", "/services/{name}/logs/ws", frames, named(Action.VIEW_LOGS)),
    Route("GET", "/images/pull", pull, globally(Action.PULL_NEW_IMAGE)),
)
