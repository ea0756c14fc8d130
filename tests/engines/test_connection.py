"""Calls of the daemon in threads: limits and cancellation."""

from __future__ import annotations

import asyncio
import threading

import pytest

from bot.engines.docker.connection import Client, Connection

pytestmark = pytest.mark.parts


async def test_a_call_that_ends_in_the_moment_it_is_cancelled_is_cancelled(engine_host: str) -> None:
    """Otherwise what runs for ever would go on, and o8 could not stop."""
    docker, may_end, has_ended = Connection(engine_host, 5), threading.Event(), threading.Event()

    def ask(_: Client) -> None:
        may_end.wait()
        threading.Timer(0.1, has_ended.set).start()  # by then the loop has been told

    call = asyncio.create_task(docker.call("wait", ask))
    await asyncio.sleep(0.2)
    may_end.set()
    has_ended.wait()  # without letting the loop see it
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    docker.close()
