"""Many readers of one followed log in a process of their own, cheap enough for the machine that is measured.

Lines are numbered, `line 000001234 ...`; each reader must get every number once and in order.
`python -m lab.log_readers PORT SERVICE TOKEN SECONDS TEXTS EVENTS FRAMES` prints `ready` once all of them read, and in
the end a report as JSON.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import NamedTuple

import orjson

from bot.engines.docker.lines import Chunks
from lab.waiting import until

_NUMBER = slice(5, 14)  # of a line
_KEPT = 200  # pieces that were looked at; all readers get the same


class Run(NamedTuple):
    """Numbers of a piece of a log, and what is wrong inside it."""

    first: int
    last: int
    lines: int
    lost: int
    doubled: int


def run_of(texts: Iterable[str]) -> Run | None:
    """None without a numbered line."""
    numbers = [int(text[_NUMBER]) for text in texts if text.startswith("line ")]
    if not numbers:
        return None
    steps = [two - one - 1 for one, two in pairwise(numbers)]
    lost, doubled = sum(step for step in steps if step > 0), sum(-step for step in steps if step < 0)
    return Run(numbers[0], numbers[-1], len(numbers), lost, doubled)


@dataclass
class Tally:
    """What one reader got. `place`: the number that has to come next."""

    kind: str
    place: int = -1
    lines: int = 0
    lost: int = 0
    doubled: int = 0
    has_ended: bool = False

    def take(self, run: Run | None) -> None:
        if run is None:
            return
        if self.place >= 0:
            self.lost += max(run.first - self.place, 0)
            self.doubled += max(self.place - run.first, 0)
        self.lost += run.lost
        self.doubled += run.doubled
        self.lines += run.lines
        self.place = run.last + 1


class Reader(asyncio.Protocol):
    """One connection. `seen` are pieces that some reader has had."""

    kind = ""
    path = ""
    more = ""

    def __init__(self, head: str, seen: dict[bytes, Run | None]) -> None:
        self.tally = Tally(self.kind)
        self._head = head
        self._seen = seen
        self._rest = b""
        self._is_open = False
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101
        self.transport = transport
        transport.write(self._head.encode())

    def data_received(self, data: bytes) -> None:
        if not self._is_open:
            head, end, rest = (self._rest + data).partition(b"\r\n\r\n")
            self._rest = b"" if end else head
            if not end:
                return
            if head.split()[1] not in (b"200", b"101"):
                raise RuntimeError(f"o8 answers {head.decode(errors='replace')}")
            self._is_open, data = True, rest
        self.body(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.tally.has_ended = True

    def body(self, data: bytes) -> None:
        raise NotImplementedError

    def take(self, piece: bytes, texts: Iterable[str] | None = None) -> None:
        if piece not in self._seen:
            while len(self._seen) >= _KEPT:
                del self._seen[next(iter(self._seen))]
            self._seen[piece] = run_of(piece.decode().splitlines() if texts is None else texts)
        self.tally.take(self._seen[piece])


class Text(Reader):
    kind, path = "text", "?follow=1&tail=0"

    def __init__(self, head: str, seen: dict[bytes, Run | None]) -> None:
        super().__init__(head, seen)
        self._chunks = Chunks()

    def body(self, data: bytes) -> None:
        if body := self._chunks.feed(data):
            self.take(body)


class Events(Text):
    kind, path = "events", "/events?tail=0"
    late_s: list[float] = []  # how late lines were, of all readers

    def body(self, data: bytes) -> None:
        for event in self._chunks.feed(data).split(b"\n\n"):
            lines = event.partition(b"data: ")[2]
            if lines in self._seen:
                self.take(lines)
            elif lines:
                found = orjson.loads(lines)
                self.take(lines, [text for _, _, text in found])
                if found:
                    self.late_s.append(time.time() - datetime.fromisoformat(found[-1][0][:26] + "+00:00").timestamp())


class Frames(Reader):
    kind, path = "frames", "/ws?tail=0"
    more = (
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    )

    def body(self, data: bytes) -> None:
        data, start = self._rest + data, 0
        while len(data) - start >= 2:
            kind, size, begin = data[start] & 15, data[start + 1] & 127, start + 2
            if size >= 126:
                wide = 2 if size == 126 else 8
                size, begin = int.from_bytes(data[begin : begin + wide], "big"), begin + wide
            if len(data) < begin + size:
                break
            if kind == 1:
                self.take(data[begin : begin + size])
            elif kind == 9 and self.transport:  # a ping is answered, masked with zeros
                self.transport.write(b"\x8a\x80\0\0\0\0")
            start = begin + size
        self._rest = data[start:]


@dataclass
class Report:
    """`behind`: lines that the slowest reader still had to get. `late_ms`: of lines, for half of them and for 99 %."""

    seconds: float = 0
    numbers: int = 0  # lines that were written meanwhile
    lines: int = 0
    lost: int = 0
    doubled: int = 0
    ended: int = 0
    behind: int = 0
    late_ms: list[float] = field(default_factory=list)


async def read(port: int, service: str, token: str, seconds: float, counts: tuple[int, int, int]) -> Report:
    """Connects so many `Text`, `Events` and `Frames`; reads for `seconds` from the moment when all have begun."""
    loop, seen, readers = asyncio.get_running_loop(), dict[bytes, Run | None](), list[Reader]()
    for make, count in zip((Text, Events, Frames), counts, strict=True):
        for _ in range(count):
            head = (
                f"GET /api/v1/services/{service}/logs{make.path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
                f"Authorization: Bearer {token}\r\n{make.more}\r\n"
            )
            _, reader = await loop.create_connection(lambda make=make, head=head: make(head, seen), "127.0.0.1", port)  # type: ignore[misc]
            readers.append(reader)
    await until(lambda: _have_begun(readers), 60)
    print("ready", flush=True)
    Events.late_s.clear()
    began, first = time.monotonic(), max(reader.tally.place for reader in readers)
    await asyncio.sleep(seconds)
    tallies = [reader.tally for reader in readers]
    took, places = time.monotonic() - began, [tally.place for tally in tallies]
    late = sorted(1000 * late for late in Events.late_s) or [0.0]
    return Report(
        seconds=took, numbers=max(places) - first, lines=sum(tally.lines for tally in tallies),
        lost=sum(tally.lost for tally in tallies), doubled=sum(tally.doubled for tally in tallies),
        ended=sum(tally.has_ended for tally in tallies), behind=max(places) - min(places),
        late_ms=[late[len(late) // 2], late[int(len(late) * 0.99)]],
    )  # fmt: skip


async def _have_begun(readers: list[Reader]) -> bool:
    return all(reader.tally.lines for reader in readers)


if __name__ == "__main__":
    port, service, token, seconds, *counts = sys.argv[1:]
    texts, events, frames = map(int, counts)
    report = asyncio.run(read(int(port), service, token, float(seconds), (texts, events, frames)))
    print(orjson.dumps(asdict(report)).decode())
