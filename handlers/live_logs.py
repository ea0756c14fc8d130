"""A followed log on its way to a reader: as text, as server-sent events, over a WebSocket."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing

from aiohttp import WSMsgType, web

from bot.errors import O8Error
from bot.logs import Batch, Cursor, Line, as_json, as_text, as_text_with_times
from handlers.streams import HEARTBEAT_S, PATIENCE_S, Events, Stream, is_there, streaming

Batches = AsyncGenerator[Batch, None]


def searched(batches: Batches, text: str) -> Batches:
    """Only lines with `text` in them, in whatever case; markers stay."""
    if not text:
        return batches
    wanted = text.lower()

    async def filtered() -> Batches:
        async with aclosing(batches):
            async for batch in batches:
                yield batch.kept(lambda line: line.is_marker or wanted in line.text.lower())

    return filtered()


async def as_lines(request: web.Request, batches: Batches, *, has_times: bool) -> web.StreamResponse:
    """Endless text, a line each."""
    form: Callable[[Iterable[Line]], bytes] = as_text_with_times if has_times else as_text
    stream = Stream(request, "text/plain; charset=utf-8")
    async with aclosing(batches):
        first = await anext(batches)  # raises what is answered with a status of its own
        await stream.open()
        with contextlib.suppress(ConnectionError), streaming(request):
            try:
                await stream.write(first.sent_as(form)) if first.lines else None
                async for batch in batches:
                    if batch.lines:
                        await stream.write(batch.sent_as(form))
                    elif not is_there(request):
                        break
                await stream.end()
            except O8Error as trouble:
                await stream.end(f"--- {trouble} ---\n".encode())
    return stream.response


async def as_events(request: web.Request, batches: Batches, after: Cursor | None) -> web.StreamResponse:
    """Events `lines`; the id of the last one, sent as `Last-Event-ID`, goes on without a gap or a double line."""
    stream, place = Events(request), after.copy() if after else Cursor()
    loop = asyncio.get_running_loop()
    async with aclosing(batches):
        first = await anext(batches)
        await stream.open()
        beat = loop.time()
        with contextlib.suppress(ConnectionError), streaming(request):
            try:
                place.update(first.places)
                await stream.send("lines", first.sent_as(as_json), place)
                async for batch in batches:
                    place.update(batch.places)
                    if batch.lines:
                        await stream.send("lines", batch.sent_as(as_json), place)
                    elif loop.time() - beat > HEARTBEAT_S:
                        await stream.beat()
                        beat = loop.time()
                    elif not is_there(request):
                        break
            except O8Error as trouble:
                await stream.trouble(str(trouble))
            await stream.end()
    return stream.response


async def as_frames(request: web.Request, batches: Batches, *, has_times: bool) -> web.WebSocketResponse:
    """Text frames of some lines each; what the reader says is not listened to."""
    form: Callable[[Iterable[Line]], bytes] = as_text_with_times if has_times else as_text
    socket = web.WebSocketResponse(heartbeat=HEARTBEAT_S, max_msg_size=4096)
    async with aclosing(batches):
        first = await anext(batches)
        await socket.prepare(request)
        leaving = asyncio.create_task(_until_closed(socket))
        with contextlib.suppress(ConnectionError), streaming(request):
            try:
                await _frame(socket, first.sent_as(form))
                async for batch in batches:
                    if leaving.done():
                        break
                    await _frame(socket, batch.sent_as(form))
            except O8Error as trouble:
                await _frame(socket, f"--- {trouble} ---\n".encode())
            finally:
                leaving.cancel()
                await asyncio.gather(leaving, return_exceptions=True)
        await socket.close()
    return socket


async def _frame(socket: web.WebSocketResponse, text: bytes) -> None:
    if text:
        try:
            await asyncio.wait_for(socket.send_str(text.decode()), PATIENCE_S)
        except TimeoutError:
            raise ConnectionResetError from None


async def _until_closed(socket: web.WebSocketResponse) -> None:
    async for message in socket:
        if message.type is WSMsgType.ERROR:
            return
