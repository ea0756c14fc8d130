"""The engine may go away at any instant: waiting until it is back, and telling its victims from bad releases."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

from bot.engines import Replica
from bot.errors import EngineUnavailable
from bot.run import Run

LIMIT_S, PAUSE_S = 300.0, 0.5


async def with_engine(work: Callable[[], Awaitable[object]]) -> None:
    """Does `work`, which is safe to repeat, until the engine does not go away meanwhile.

    Raises `EngineUnavailable` after five minutes.
    """
    give_up = time.monotonic() + LIMIT_S
    while True:
        try:
            await work()
            return
        except EngineUnavailable:
            if time.monotonic() > give_up:
                raise
            await asyncio.sleep(PAUSE_S)


def runs_beside(run: Run) -> bool:
    """Whether the old release runs while the new one is checked and watched."""
    is_switched = run.live is not None and run.deployment.configuration.strategy != "recreate"
    return is_switched and not run.service.is_stopped


def has_taken_all(run: Run, found: Sequence[Replica]) -> bool:
    """Whether the old release, which the engine keeps running, is down too: only the end of the engine does that."""
    old = [replica for replica in found if replica.slot != run.here]
    is_kept_up = run.live is not None and run.live.configuration.restart in ("always", "unless-stopped")
    return is_kept_up and runs_beside(run) and bool(old) and all(r.state in ("exited", "dead") for r in old)
