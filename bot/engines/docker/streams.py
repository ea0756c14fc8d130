"""What Docker tells without being asked again: a replica's log, and changes of replicas."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import datetime
from typing import Any

import orjson

from bot.engines import Change
from bot.engines.docker import allow
from bot.engines.docker.connection import Connection
from bot.engines.docker.lines import LogLines
from bot.errors import EngineError

WATCHED = ("start", "die", "oom", "destroy", "pause", "unpause", "health_status")
QUIET_S = 300.0  # without an event for so long, connect anew: a dead TCP connection is silent, too
GATHER_S = 0.02  # how much later a line is told that another one has just come before
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0
logger = logging.getLogger(__name__)


async def log(
    docker: Connection,
    container_id: str,
    lines: LogLines,
    *,
    tail: int | None,
    since: datetime | None,
    follow: bool,
    timestamps: bool,
) -> AsyncGenerator[bytes, None]:
    """Lines without line ends; ends when the container ends. Raises `EngineUnavailable` when cut off."""
    params = {
        "stdout": "1",
        "stderr": "1",
        "follow": str(int(follow)),
        "timestamps": str(int(timestamps)),
        "tail": "all" if tail is None else str(max(tail, 0)),
    }
    if since:
        params["since"] = f"{since.timestamp():.9f}"
    path = f"/containers/{allow.replica_id(container_id)}/logs"
    async with (
        docker.stream(
            f"read the log of {container_id:.12}", path, params=params, gather_s=GATHER_S if follow else 0
        ) as stream,
        aclosing(stream.pieces()) as pieces,
    ):
        async for piece in pieces:
            for line in lines.feed(piece):
                yield line
    for line in lines.end():
        yield line


async def changes(docker: Connection, installation: str) -> AsyncGenerator[Change, None]:
    """Endless. `Change("", "connected")` comes first, and again whenever changes may have been missed."""
    pause = FIRST_PAUSE_S
    while True:
        try:
            async with docker.stream("watch", "/events", params=_params(installation), quiet_s=QUIET_S) as stream:
                pause = FIRST_PAUSE_S
                yield Change("", "connected")
                async with aclosing(stream.objects()) as events:
                    async for event in events:
                        yield _change(event)
        except EngineError as error:  # also what a daemon answers while it starts or ends
            logger.warning("Docker's events ended: %s", error)
        await asyncio.sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE_S)


def _params(installation: str) -> dict[str, str]:
    # Docker answers before it listens; `since` brings what happened in between.
    filters = {"type": ["container"], "event": list(WATCHED), "label": allow.filters(installation)}
    return {"filters": orjson.dumps(filters).decode(), "since": f"{time.time():.9f}"}


def _change(event: dict[str, Any]) -> Change:
    """`health_status: healthy` is told as `health_status`: whoever hears it looks anyway."""
    return Change(event["Actor"]["Attributes"].get(allow.SERVICE, ""), event["Action"].partition(":")[0])
