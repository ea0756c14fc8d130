"""Backups and the key. Only over the socket: what they give away must not leave the machine by a stolen token."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from aiohttp import web

from bot.models import Model
from bot.permissions import Action
from bot.services import Services
from handlers.access import globally
from handlers.api.routing import Call, Nothing, Route, Values, bound
from handlers.streams import Stream, streaming

_PIECE = 256 * 1024  # bytes
MEDIA_TYPE = "application/gzip"


class Chosen(Values):
    """`with_key`: the key is inside; who has the backup can then read every environment value."""

    with_key: bool = False


class Resealed(Model):
    """`is_in_settings`: the old keys are to be removed from O8_SECRET_KEY."""

    resealed: int
    is_in_settings: bool


async def backup(call: Call[None, Chosen]) -> web.StreamResponse:
    """Everything o8 knows, in one archive."""
    with await call.commands.backup(with_key=call.query.with_key) as archive:
        stream = Stream(call.request, MEDIA_TYPE)
        await stream.open()
        with suppress(ConnectionError), streaming(call.request):
            while piece := await asyncio.to_thread(archive.read, _PIECE):
                await stream.write(piece)
            await stream.end()
    return stream.response


async def rotate_key(call: Call[None, Nothing]) -> Resealed:
    """Seals every environment value anew, with a new key."""
    rotated = await call.commands.rotate_key()
    return Resealed(resealed=rotated.resealed, is_in_settings=rotated.is_in_settings)


ROUTES = (
    Route("POST", "/backup", backup, globally(Action.ADMIN), MEDIA_TYPE, query=Chosen, is_kept=False),
    Route("POST", "/key-rotation", rotate_key, globally(Action.ADMIN), Resealed, is_kept=False),
)


def routes(of: Services) -> list[web.RouteDef]:
    """For the socket alone."""
    return [bound(route, of) for route in ROUTES]
