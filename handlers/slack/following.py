"""A log that is followed: a message in a thread that grows as lines come, for a while."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing

from bot.errors import O8Error
from bot.notifiers.slack.blocks import Message, message, section
from bot.notifiers.slack.client import Posted, SlackClient, SlackError
from bot.notifiers.slack.text import code, escaped, in_code

EVERY_S = 3.0  # Slack takes 50 edits a minute, of all cards and logs together
LINES, LONGEST_LINE, FULL = 60, 500, 2500  # lines kept between two edits; characters of a line and of a message
END = "The log is not followed any more."
_log = logging.getLogger(__name__)


class Following:
    """`head` is the message in whose thread the lines go."""

    def __init__(self, client: SlackClient, head: Posted) -> None:
        self._client = client
        self._head = head
        self._at: Posted | None = None
        self._text = ""

    async def show(self, lines: AsyncGenerator[str, None], seconds: float) -> None:
        """Until the log ends or `seconds` are over. Of a log that is too fast only the newest lines are shown."""
        fresh: deque[str] = deque(maxlen=LINES)
        reading = asyncio.create_task(_gather(lines, fresh))
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        try:
            while not reading.done() and loop.time() < end:
                await asyncio.sleep(EVERY_S)
                if fresh:
                    taken = "\n".join(fresh)
                    fresh.clear()
                    await self._add(taken)
            if fresh:
                await self._add("\n".join(fresh))
            words = _last_words(reading)
            await self._post(message(words, [section(words)]))
        except SlackError as trouble:
            _log.warning("A log is not followed any more: %s", trouble)
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def _add(self, text: str) -> None:
        """Into the newest message, or into a new one when that is full."""
        longer = f"{self._text}\n{text}"
        if self._at is None or len(in_code(longer)) > FULL:
            self._text = text
            self._at = await self._post(_more(text))
        else:
            self._text = longer
            await self._client.update(self._at, _more(longer))

    async def _post(self, found: Message) -> Posted:
        return await self._client.post(self._head.channel, found, thread=self._head.ts)


def _last_words(reading: asyncio.Task[None]) -> str:
    """Why it ends, if not by the clock."""
    trouble = reading.exception() if reading.done() and not reading.cancelled() else None
    return f"{END} {escaped(str(trouble))}" if isinstance(trouble, O8Error) else END


def _more(text: str) -> Message:
    return message("More of the log.", [section(code(text, FULL))])


async def _gather(lines: AsyncGenerator[str, None], into: deque[str]) -> None:
    async with aclosing(lines):
        async for line in lines:
            into.append(line[:LONGEST_LINE])
