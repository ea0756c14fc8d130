"""Lines on their way: the logs of several replicas as one, single lines as groups."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from heapq import heapify, heappop, heapreplace

from bot.logs.lines import PIECE_BYTES, Batch, Line

LOOK_AGAIN_S = 5.0  # how long somebody reads on who may not any more


async def merged(parts: Sequence[AsyncGenerator[Line, None]]) -> AsyncGenerator[Line, None]:
    """Each in its own order; whose next line is the earliest comes next. Reads only as fast as it is read."""
    try:
        firsts = [(await anext(part, None), number) for number, part in enumerate(parts)]
        heads = [(line.at, number, line) for line, number in firsts if line]
        heapify(heads)
        while heads:
            _, number, line = heads[0]
            yield line
            following = await anext(parts[number], None)
            if following:
                heapreplace(heads, (following.at, number, following))
            else:
                heappop(heads)
    finally:
        for part in parts:
            await part.aclose()


async def gathered(lines: AsyncGenerator[Line, None]) -> AsyncGenerator[tuple[Line, ...], None]:
    """In groups that are not too large to be sent at once."""
    held: list[Line] = []
    size = 0
    async with aclosing(lines):
        async for line in lines:
            held.append(line)
            size += len(line.text)
            if size >= PIECE_BYTES:
                yield tuple(held)
                held, size = [], 0
    if held:
        yield tuple(held)


async def while_allowed(
    batches: AsyncGenerator[Batch, None], check: Callable[[], Awaitable[object]]
) -> AsyncGenerator[Batch, None]:
    """Ends with what `check` raises once the reader has lost the right to read."""
    loop = asyncio.get_running_loop()
    checked = loop.time()
    async with aclosing(batches):
        async for batch in batches:
            if loop.time() - checked > LOOK_AGAIN_S:
                await check()
                checked = loop.time()
            yield batch
