"""Where one reading of a replica's log goes on and where it ends. Pure.

A log's order is that of its lines, not of their times: Docker notes the time of a line before its turn to be written
comes, so two outputs of a container overtake each other, and a machine's clock may be set back. A place is therefore
looked for by the very line; times only tell when it cannot come any more.
"""

from __future__ import annotations

from collections import deque
from datetime import datetime, timedelta

from bot.logs.lines import Line, Place, time_of, written

_REMEMBERED = 10_000  # places; up to 260 lines were seen to come twice, of 5,000 in a second
_OVERTAKEN = timedelta(seconds=1)  # within this a line may stand after one that is younger


def since(place: Place) -> datetime:
    """From when to ask Docker so that the line of `place` itself comes, too."""
    return time_of(place[0]) - _OVERTAKEN


class Once:
    """Tells lines that come twice. Docker 20.10 gives the first ones of a new file again when it changes files.

    Only lines that are no younger than the newest are looked for, so that it costs little.
    """

    def __init__(self) -> None:
        self._seen: set[Place] = set()
        self._order: deque[Place] = deque()
        self._newest = ""

    def is_new(self, place: Place) -> bool:
        if place[0] > self._newest:
            self._newest = place[0]
        elif place in self._seen:
            return False
        self._seen.add(place)
        self._order.append(place)
        if len(self._order) > _REMEMBERED:
            self._seen.discard(self._order.popleft())
        return True


class After:
    """Of lines that begin before `place`, those that come after it; of no place, all."""

    def __init__(self, place: Place | None) -> None:
        self._place = place
        self._limit = _late(place)
        self._held: list[Line] = []

    def takes(self, line: Line) -> list[Line]:
        """What is wanted of all lines up to this one and was not given out before."""
        if self._place is None:
            return [line]
        if line.place == self._place:  # what was held was written before, and has been read
            self._place, self._held = None, []
            return []
        if line.place > self._place:
            self._held.append(line)
            if line.at > self._limit:  # the line itself is not there any more: the log was cut
                return self.end()
        return []

    def end(self) -> list[Line]:
        """What is wanted when no more lines come."""
        self._place = None
        held, self._held = self._held, []
        return held


class Before:
    """Of lines that go on after `place`, those that come before it. `and_itself`: that line, too."""

    def __init__(self, place: Place, *, and_itself: bool = False) -> None:
        self._place = place
        self._and_itself = and_itself
        self._limit = _late(place)
        self._held: list[Line] = []
        self.is_over = False

    def takes(self, line: Line) -> list[Line]:
        if self.is_over:
            return []
        if line.place == self._place:
            self.is_over = True
            return [*self._held, line] if self._and_itself else self._held
        if line.at > self._limit:
            self.is_over = True
            return self.end()
        if line.place < self._place and not self._held:
            return [line]
        self._held.append(line)
        return []

    def end(self) -> list[Line]:
        """What is wanted when no more lines come: the place was cut off the log, so times have to tell."""
        held, self._held = self._held, []
        return [line for line in held if line.place < self._place]


def _late(place: Place | None) -> str:
    return written(time_of(place[0]) + _OVERTAKEN) if place else ""
