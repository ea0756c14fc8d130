"""Lines of a log on their way from one Docker stream to many readers: where each is, how it is sent. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import orjson

from bot.errors import InvalidInput

_ID_LENGTH = 12


class Line(NamedTuple):
    """`at` is Docker's own time, of fixed width and in UTC, so that it sorts as text.

    `place` counts the lines of one `at`.

    A line of o8's own (a release takes over, Docker was away) has no `replica`.
    """

    at: str
    text: str
    replica: str = ""  # the container's id
    number: int = 0  # of the replica, from 0
    place: int = 0

    @property
    def is_marker(self) -> bool:
        return not self.replica


class Cursor(dict[str, tuple[str, int]]):
    """How far each replica was read. As text it is an event's id: `3f2a...=2026-11-24T09:00:00.123456789Z.0;...`."""

    @classmethod
    def read(cls, text: str) -> Cursor:
        """Raises `InvalidInput` for what is not a cursor."""
        found = cls()
        for part in filter(None, text.split(";")):
            replica, equals, place = part.partition("=")
            at, dot, number = place.rpartition(".")
            if not (equals and dot and number.isdigit() and len(replica) == _ID_LENGTH and _is_time(at)):
                raise InvalidInput(f"{text!r:.140} is no place in a log.", "Use the id of the last event as it came.")
            found[replica] = (at, int(number))
        return found

    def __str__(self) -> str:
        return ";".join(f"{replica}={at}.{number}" for replica, (at, number) in self.items())

    def takes(self, line: Line) -> bool:
        """Notes a line; False when it was there before."""
        if line.is_marker:
            return True
        key, place = line.replica[:_ID_LENGTH], (line.at, line.place)
        if key in self and place <= self[key]:
            return False
        self[key] = place
        return True

    def since(self, replica: str) -> datetime | None:
        """From when to ask Docker so that nothing is missed; what comes twice is not taken."""
        found = self.get(replica[:_ID_LENGTH])
        return _time(found[0]) - timedelta(milliseconds=1) if found else None

    def has(self, line: Line) -> bool:
        """Whether everything before `line` was read."""
        return self.get(line.replica[:_ID_LENGTH], ("", 0)) >= (line.at, line.place)

    def copy(self) -> Cursor:
        return Cursor(self)


class Batch:
    """Some lines that came together. What readers are sent is made once for all of them."""

    def __init__(self, start: int, lines: tuple[Line, ...]) -> None:
        self.start = start  # how many lines came before, since the feed began
        self.lines = lines
        self.size = sum(len(line.text) + 100 for line in lines)
        self._made: dict[object, bytes] = {}
        self._places: Cursor | None = None

    @property
    def end(self) -> int:
        return self.start + len(self.lines)

    @property
    def places(self) -> Cursor:
        """How far each replica was read that has a line here."""
        if self._places is None:
            self._places = Cursor(
                {line.replica[:_ID_LENGTH]: (line.at, line.place) for line in self.lines if line.replica}
            )
        return self._places

    def sent_as(self, form: Callable[[Iterable[Line]], bytes]) -> bytes:
        """The lines in a form, such as `as_text`; kept for the next reader."""
        if form not in self._made:
            self._made[form] = form(self.lines)
        return self._made[form]

    def kept(self, keeps: Callable[[Line], bool]) -> Batch:
        """Only lines that a reader wants."""
        return Batch(self.start, tuple(line for line in self.lines if keeps(line)))


class Ring:
    """The newest batches, up to `size` bytes."""

    def __init__(self, size: int) -> None:
        self._batches: deque[Batch] = deque()
        self._room = size
        self.end = 0

    @property
    def start(self) -> int:
        return self._batches[0].start if self._batches else self.end

    def add(self, lines: tuple[Line, ...]) -> None:
        batch = Batch(self.end, lines)
        self._batches.append(batch)
        self.end = batch.end
        self._room -= batch.size
        while self._room < 0 and len(self._batches) > 1:
            self._room += self._batches.popleft().size

    def after(self, place: int) -> list[Batch]:
        """Batches from `place` on; the first may be cut."""
        found = []
        for batch in reversed(self._batches):
            if batch.end <= place:
                break
            found.append(batch if batch.start >= place else Batch(place, batch.lines[place - batch.start :]))
        return found[::-1]

    def lines(self) -> list[Line]:
        """All that it holds."""
        return [line for batch in self._batches for line in batch.lines]


def as_text(lines: Iterable[Line]) -> bytes:
    """One line each; markers begin with `---`."""
    return "".join(f"{_named(line)}{line.text}\n" for line in lines).encode(errors="replace")


def as_text_with_times(lines: Iterable[Line]) -> bytes:
    return "".join(f"{line.at} {_named(line)}{line.text}\n" for line in lines).encode(errors="replace")


def as_json(lines: Iterable[Line]) -> bytes:
    """An array of `[time, replica's number, text]`; the number of a marker is null."""
    return orjson.dumps([[line.at, None if line.is_marker else line.number + 1, line.text] for line in lines])


def split(raw: bytes) -> tuple[str, str]:
    """Docker's time and the text of a line that was asked for with timestamps."""
    at, _, text = raw.decode(errors="replace").rstrip("\r\n").partition(" ")
    return at, text


def now() -> str:
    """The present as Docker writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")


def _named(line: Line) -> str:
    return f"{line.number + 1} | " if line.number else ""


def _time(at: str) -> datetime:
    return datetime.fromisoformat(at[:26] + "+00:00")  # Python keeps microseconds


def _is_time(at: str) -> bool:
    try:
        return len(at) == 30 and at.endswith("Z") and _time(at).year > 1970
    except ValueError:
        return False
