"""Lines of a log on their way from one Docker stream to many readers: where each is, how it is sent. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import NamedTuple

import orjson

from bot.errors import InvalidInput

_ID_LENGTH = 12
_TIME_LENGTH = len("2026-11-24T09:00:00.123456789Z")
_MOST_PLACES = 32  # in a cursor: two slots of eight replicas, and those of the releases before
_OVERHEAD = 250  # bytes that a line takes in memory besides its text
_FORMS_KEPT = 16  # batches whose sent forms are kept: readers that keep up are among them
PIECE_BYTES = 64 * 1024  # of one batch, so that no reader's buffer grows by more

Place = tuple[str, int]  # Docker's time of a line, and which of the lines with that time it is


class Origin(NamedTuple):
    """Where a line comes from. `prefix` tells the replicas of a service from one another when there are several."""

    replica: str  # first 12 digits of the container's id
    number: int  # of the replica, from 1, as in its container's name
    prefix: str = ""


OWN = Origin("0" * _ID_LENGTH, 0)  # of lines that o8 adds itself: a release takes over, Docker was away


class Line(NamedTuple):
    """`at` is Docker's own time, of fixed width and in UTC, so that it sorts as text.

    `nth` counts the lines of one `at` and one origin.
    """

    at: str
    text: str
    origin: Origin = OWN
    nth: int = 0

    @property
    def is_marker(self) -> bool:
        return self.origin.number == 0

    @property
    def place(self) -> Place:
        return self.at, self.nth

    @property
    def shown(self) -> str:
        """With its replica's number where there are several."""
        return self.origin.prefix + self.text


class Cursor(dict[str, Place]):
    """How far each replica was read. As text it is an event's id: `3f2a...=2026-11-24T09:00:00.123456789Z.0;...`."""

    @classmethod
    def read(cls, text: str) -> Cursor:
        """Raises `InvalidInput` for what is not a cursor."""
        found = cls()
        for part in filter(None, text.split(";")):
            replica, equals, place = part.partition("=")
            at, dot, number = place.rpartition(".")
            is_number = number.isascii() and number.isdecimal() and len(number) < 10
            if not (equals and dot and is_number and len(replica) == _ID_LENGTH and _is_time(at)):
                raise InvalidInput(f"{text!r:.140} is no place in a log.", "Use the id of the last event as it came.")
            found[replica] = (at, int(number))
        return found

    def __str__(self) -> str:
        return ";".join(f"{replica}={at}.{number}" for replica, (at, number) in self.items())

    def note(self, newer: Cursor) -> None:
        """Moves on. Replicas that were silent for longest are forgotten, so that it stays short enough for a header."""
        for replica, place in newer.items():
            self.pop(replica, None)
            self[replica] = place
        while len(self) > _MOST_PLACES:
            del self[next(iter(self))]

    def copy(self) -> Cursor:
        return Cursor(self)


class Batch:
    """Some lines that came together. What readers are sent is made once for all of them."""

    def __init__(self, start: int, lines: tuple[Line, ...], places: Cursor | None = None) -> None:
        self.start = start  # how many lines came before, since the feed began
        self.lines = lines
        self._made: dict[object, bytes] = {}
        self._found: dict[str, Batch] = {}
        self._places = places

    @property
    def end(self) -> int:
        return self.start + len(self.lines)

    @property
    def size(self) -> int:
        """Bytes in memory, roughly."""
        return sum(len(line.text) + _OVERHEAD for line in self.lines)

    @property
    def places(self) -> Cursor:
        """How far each replica was read that has a line here."""
        if self._places is None:
            self._places = Cursor({line.origin.replica: line.place for line in self.lines})
        return self._places

    def sent_as(self, form: Callable[[Iterable[Line]], bytes]) -> bytes:
        """The lines in a form, such as `as_text`; kept for the next reader."""
        if form not in self._made:
            self._made[form] = form(self.lines)
        return self._made[form]

    def with_text(self, text: str) -> Batch:
        """Only lines with `text`, which is in lower case, and markers; whoever reads it has read all."""
        if text not in self._found:
            kept = tuple(line for line in self.lines if text in line.text.lower() or line.is_marker)
            self._found[text] = Batch(self.start, kept, self.places)
        return self._found[text]

    def forget_forms(self) -> None:
        self._made.clear()
        self._found.clear()


class Ring:
    """The newest batches, up to `size` bytes."""

    def __init__(self, size: int) -> None:
        self._batches: deque[Batch] = deque()
        self._sizes: deque[int] = deque()
        self._room = size
        self.end = 0

    @property
    def start(self) -> int:
        return self._batches[0].start if self._batches else self.end

    def add(self, lines: tuple[Line, ...]) -> None:
        batch = Batch(self.end, lines)
        self._batches.append(batch)
        self._sizes.append(batch.size)
        self.end = batch.end
        self._room -= batch.size
        while self._room < 0 and len(self._batches) > 1:
            self._batches.popleft()
            self._room += self._sizes.popleft()
        if len(self._batches) > _FORMS_KEPT:
            self._batches[-_FORMS_KEPT - 1].forget_forms()

    def after(self, place: int) -> Batch | None:
        """The next batch from `place` on, cut if need be; None when there is none yet."""
        found = None
        for batch in reversed(self._batches):
            if batch.end <= place:
                break
            found = batch
        if found is None or found.start >= place:
            return found
        return Batch(place, found.lines[place - found.start :])

    def lines(self, place: int = 0) -> list[Line]:
        """All that it holds from `place` on."""
        found: list[Line] = []
        while (batch := self.after(place)) is not None:
            found += batch.lines
            place = batch.end
        return found


def as_text(lines: Iterable[Line]) -> bytes:
    """One line each; markers begin with `---`."""
    return "".join([f"{line.shown}\n" for line in lines]).encode(errors="replace")


def as_text_with_times(lines: Iterable[Line]) -> bytes:
    return "".join([f"{line.at} {line.shown}\n" for line in lines]).encode(errors="replace")


def as_json(lines: Iterable[Line]) -> bytes:
    """An array of `[time, replica's number, text]`; the number of a marker is null."""
    return orjson.dumps([(line.at, line.origin.number or None, line.text) for line in lines])


def split(raw: bytes, before: str = "") -> tuple[str, str]:
    """Docker's time and the text of a line that was asked for with timestamps.

    The rest of a line that was too long has none: it gets that of the line `before`.
    """
    whole = raw.decode(errors="replace").rstrip("\r\n")
    at, _, text = whole.partition(" ")
    return (at, text) if len(at) == _TIME_LENGTH and at[10] == "T" and at[-1] == "Z" else (before, whole)


def now() -> str:
    """The present as Docker writes it."""
    return written(datetime.now(UTC))


def written(time: datetime) -> str:
    """A time as Docker writes it."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")


def time_of(at: str) -> datetime:
    return datetime.fromisoformat(at[:26] + "+00:00")  # Python keeps microseconds


def _is_time(at: str) -> bool:
    try:
        return at.isascii() and len(at) == _TIME_LENGTH and at.endswith("Z") and time_of(at).year > 1970
    except ValueError:
        return False
