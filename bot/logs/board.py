"""Where the lines of a feed are put up, and where all of its readers read them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from bot.errors import O8Error
from bot.logs.lines import PIECE_BYTES, Batch, Cursor, Line, Ring, now

RING_BYTES = 8 * 1024 * 1024
GATHER_S = 0.05  # lines that come within are sent together
GATHER_MORE_S, LONGEST_GATHER_S = 0.001, 0.25  # so much longer for each reader: waking them is what costs
SILENCE_S = 0.25  # how soon a reader of a silent service is asked whether it is still there


class TooSlow(O8Error):
    """A reader takes lines more slowly than they come."""

    code = "too_slow"

    def __init__(self) -> None:
        super().__init__("The log comes faster than it is read, so this reader was cut off.", "Connect again.")


class Board:
    """`known`: how far each replica was read. `readers`: how many there are; more of them are told less often."""

    def __init__(self) -> None:
        self.known = Cursor()
        self.readers = 0
        self._ring = Ring(RING_BYTES)
        self._gathered: list[Line] = []
        self._size = 0  # of what was gathered
        self._timer: asyncio.TimerHandle | None = None
        self._news = asyncio.Event()
        self._is_silent = True
        self._markers = 0
        self._has_ended = False
        self._trouble: O8Error | None = None

    @property
    def has_ended(self) -> bool:
        return self._has_ended

    @property
    def end(self) -> int:
        return self._ring.end

    @property
    def is_whole(self) -> bool:
        """Whether everything that was ever put up is here."""
        return self._ring.start == 0

    def lines(self) -> list[Line]:
        """All that is here."""
        return self._ring.lines()

    def add(self, line: Line) -> None:
        self.known[line.origin.replica] = line.place
        self._gathered.append(line)
        self._size += len(line.text)
        if self._size >= PIECE_BYTES:
            self.show()
        elif self._timer is None:
            window = min(GATHER_S + self.readers * GATHER_MORE_S, LONGEST_GATHER_S)
            self._timer = asyncio.get_running_loop().call_later(window, self.show)

    def mark(self, text: str) -> None:
        """Adds a line of o8's own."""
        self._markers += 1
        self.add(Line(now(), f"--- {text} ---", nth=self._markers))

    def show(self) -> None:
        """Shows what was added to the readers."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if self._gathered:
            self._ring.add(tuple(self._gathered))
            self._gathered, self._size = [], 0
            self.wake()

    def wake(self) -> None:
        """Lets readers look."""
        self._is_silent = False
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def beat(self) -> None:
        """Endless: lets readers notice silence."""
        while True:
            await asyncio.sleep(SILENCE_S)
            if self._is_silent:
                self.wake()
            self._is_silent = True

    def finish(self, trouble: O8Error | None) -> None:
        """No more comes, for a reason that readers are told, or because o8 ends."""
        self.show()
        self._has_ended, self._trouble = True, trouble
        self.wake()

    async def read(self, place: int) -> AsyncGenerator[Batch, None]:
        """What comes after `place`; a batch without lines says that a while went by. Raises `TooSlow`."""
        while True:
            if place < self._ring.start:
                raise TooSlow
            batch = self._ring.after(place)
            if batch is not None:
                yield batch
                place = batch.end
            elif self._has_ended:
                break
            else:
                await self._news.wait()
                if place == self._ring.end:
                    yield Batch(place, ())
        if self._trouble:
            raise self._trouble
