"""Changes of deployments as server-sent events, while they happen."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from aiohttp import web
from pydantic import Field

from bot.errors import Forbidden, NotFound
from bot.models import Deployment
from bot.permissions import Action
from handlers.access import ACCOUNT, on_deployment
from handlers.api import representations as shown
from handlers.api.routing import LARGEST_ID, Call, Route, Values
from handlers.streams import HEARTBEAT_S, Events, streaming

_GATHER_S = 0.1  # several changes of one deployment within this are one event
_PROGRESS_S = 1.0


class Since(Values):
    """`service`: only its deployments. `after`: the id of the last event that was seen, instead of `Last-Event-ID`."""

    service: str = ""
    after: int | None = Field(None, ge=0, le=LARGEST_ID)


class After(Values):
    after: int | None = Field(None, ge=0, le=LARGEST_ID)


async def everything(call: Call[None, Since]) -> web.StreamResponse:
    """Events `deployment`: each as it is after a change, first those that have not ended.

    The id of the last one, sent as `Last-Event-ID`, goes on after it: no ending is missed.
    """
    after, store = _after(call), call.services.store
    revision = await store.revision()
    is_new = after is None or after > revision  # a place that is yet to come is of a database that was put back since
    revision = revision if is_new else after or 0
    first = [] if not is_new else [d for d in await store.pending() if call.query.service in ("", d.service)]
    stream = Events(call.request)
    await stream.open()
    with suppress(ConnectionError, Forbidden), streaming(call.request):
        await _send(call, stream, first, revision)
        while True:
            seen = await store.committed()
            changed = await store.changed_deployments(revision)
            if changed:
                revision = changed[-1].revision
                await _send(call, stream, [d for d in changed if call.query.service in ("", d.service)], revision)
                await asyncio.sleep(_GATHER_S)
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(HEARTBEAT_S):
                    await store.committed(seen)
                continue
            await stream.beat()
    return stream.response


async def one(call: Call[None, After]) -> web.StreamResponse:
    """Events `deployment` of one deployment, with its steps, and with the progress of its pull; ends when it has."""
    revision, store, stream = _after(call) or -1, call.services.store, Events(call.request)
    authority, actor = call.services.authority, call.person.actor
    await stream.open()
    with suppress(ConnectionError, Forbidden, NotFound), streaming(call.request):
        while True:
            seen = await store.committed()
            person = await authority.require_for(actor, Action.VIEW_STATUS, call.id)
            found = await store.deployment(call.id)
            run = call.services.worker.running(found.service)
            is_pulling = run is not None and run.deployment.id == found.id and found.state == "pulling"
            if revision > found.revision:  # of a database that was put back since
                revision = -1
            if found.revision > revision or is_pulling:
                revision = found.revision
                whole = shown.deployment(found, person, run)
                await stream.send("deployment", whole.model_dump_json().encode(), revision)
            if found.has_ended:
                break
            with suppress(TimeoutError):
                async with asyncio.timeout(_PROGRESS_S if is_pulling else HEARTBEAT_S):
                    await store.committed(seen)
                continue
            if not is_pulling:
                await stream.beat()
        await stream.end()
    return stream.response


async def _send(call: Call[None, Since], stream: Events, found: list[Deployment], revision: int) -> None:
    """Those that the reader may see at this moment; the place is told even when they may see none of them."""
    person = await call.services.authority.who(call.person.actor)
    for each in found:
        if person.may(Action.VIEW_STATUS, each.service):
            body = shown.summary(each)
            await stream.send("deployment", body.model_dump_json().encode() if body else b"null", each.revision)
    await stream.send("place", b"{}", revision)


def _after(call: Call[None, Since] | Call[None, After]) -> int | None:
    if call.query.after is not None:
        return call.query.after
    place = call.request.headers.get("Last-Event-ID", "")
    return int(place) if place.isascii() and place.isdecimal() and len(place) < 20 else None


ROUTES = (
    Route("GET", "/events", everything, ACCOUNT, "text/event-stream", query=Since),
    Route("GET", "/deployments/{id}/events", one, on_deployment(Action.VIEW_STATUS), "text/event-stream", query=After),
)
