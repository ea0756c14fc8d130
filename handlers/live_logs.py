"""A followed log on its way to a reader: as text, as server-sent events, over a WebSocket."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing

from aiohttp import WSMsgType, web

from bot.errors import O8Error
from bot.logs import Batch, Cursor, Line, as_json, as_text, as_text_with_times
from handlers.streams import HEARTBEAT_S, Events, Stream, is_there, patience, streaming

Batches = AsyncGenerator[Batch, None]
GOODBYE_S = 2.0  # for a reader to close its side, too


def searched(batches: Batches, text: str) -> Batches:
    """Only lines with `text` in them, in whatever case; markers stay."""
    if not text:
        return batches
    wanted = text.lower()

    async def filtered() -> Batches:
        async with aclosing(batches):
            async for batch in batches:
                yield batch.with_text(wanted)

    return filtered()


async def as_lines(request: web.Request, batches: Batches, *, has_times: bool) -> web.StreamResponse:
    """Endless text, a line each."""
    form: Callable[[Iterable[Line]], bytes] = as_text_with_times if has_times else as_text
    stream = Stream(request, "text/plain; charset=utf-8")
    async with aclosing(batches):
        first = await anext(batches, None)  # raises what is answered with a status of its own
        await stream.open()
        with contextlib.suppress(ConnectionError), streaming(request):
            try:
                if first and first.lines:
                    await stream.write(first.sent_as(form))
                async for batch in batches:
                    if batch.lines:
                        await stream.write(batch.sent_as(form))
                    elif not is_there(request):
                        return stream.response
                await stream.end()
            except O8Error as trouble:
                await stream.end(_last_words(trouble))
    return stream.response


async def as_events(request: web.Request, batches: Batches, after: Cursor | None) -> web.StreamResponse:
    """Events `lines`; the id of the last one, sent as `Last-Event-ID`, goes on without a gap or a double line."""
    stream, place = Events(request), after.copy() if after else Cursor()
    loop = asyncio.get_running_loop()
    async with aclosing(batches):
        first = await anext(batches, None)
        await stream.open()
        beat = loop.time()
        with contextlib.suppress(ConnectionError), streaming(request):
            try:
                if first:
                    place.note(first.places)
                    await stream.send("lines", first.sent_as(as_json), place)
                async for batch in batches:
                    place.note(batch.places)
                    if batch.lines:
                        await stream.send("lines", batch.sent_as(as_json), place)
                    elif loop.time() - beat > HEARTBEAT_S:
                        await stream.beat(place)
                        beat = loop.time()
                    elif not is_there(request):
                        return stream.response
            except O8Error as trouble:
                await stream.trouble(str(trouble))
            await stream.end()
    return stream.response


async def as_frames(request: web.Request, batches: Batches, *, has_times: bool) -> web.WebSocketResponse:
    """Text frames of some lines each; what the reader says is not listened to."""
    form: Callable[[Iterable[Line]], bytes] = as_text_with_times if has_times else as_text
    # Not compressed: that would have to be done for each reader apart.
    socket = web.WebSocketResponse(heartbeat=HEARTBEAT_S, timeout=GOODBYE_S, max_msg_size=4096, compress=False)
    async with aclosing(batches):
        first = await anext(batches, None)
        with contextlib.suppress(ConnectionError), streaming(request):
            await socket.prepare(request)
            leaving = asyncio.create_task(_until_closed(socket))
            try:
                await _frames(request, socket, first, batches, leaving, form)
            finally:
                leaving.cancel()
                await asyncio.gather(leaving, return_exceptions=True)
            async with patience(request):
                await socket.close()
    return socket


async def _frames(
    request: web.Request, socket: web.WebSocketResponse, first: Batch | None, batches: Batches,
    leaving: asyncio.Task[None], form: Callable[[Iterable[Line]], bytes],
) -> None:  # fmt: skip
    async def send(text: bytes) -> None:
        async with patience(request):
            await socket.send_frame(text, WSMsgType.TEXT)

    try:
        if first and first.lines:
            await send(first.sent_as(form))
        async for batch in batches:
            if leaving.done():
                break
            if batch.lines:
                await send(batch.sent_as(form))
    except O8Error as trouble:
        await send(_last_words(trouble))


def _last_words(trouble: O8Error) -> bytes:
    return f"--- {trouble} ---\n".encode()


async def _until_closed(socket: web.WebSocketResponse) -> None:
    async for message in socket:
        if message.type is WSMsgType.ERROR:
            return
