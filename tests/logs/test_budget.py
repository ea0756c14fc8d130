"""Who wants several of Docker's streams gets all of them or waits; nobody waits for ever."""

from __future__ import annotations

import asyncio

from bot.logs.budget import Budget


async def test_no_more_streams_are_open_than_allowed_and_nobody_starves() -> None:
    budget, is_open, most = Budget(8), 0, 0

    async def use(streams: int) -> None:
        nonlocal is_open, most
        async with budget.use(streams):
            is_open += min(streams, 8)
            most = max(most, is_open)
            await asyncio.sleep(0)
            is_open -= min(streams, 8)

    async with asyncio.timeout(10):
        await asyncio.gather(*(use(streams) for streams in [8, 3, 5, 1, 7, 20, 2] * 20))
    assert most == 8 and not budget.is_spent


async def test_who_gives_up_waiting_gives_back_what_it_had() -> None:
    budget = Budget(4)
    async with budget.use(3):
        assert not budget.is_spent
        waiting = asyncio.create_task(_hold(budget, 2))
        await asyncio.sleep(0)
        assert budget.is_spent
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        async with asyncio.timeout(10), budget.use(1):
            pass
    async with asyncio.timeout(10), budget.use(4):
        pass


async def _hold(budget: Budget, streams: int) -> None:
    async with budget.use(streams):
        await asyncio.Event().wait()
