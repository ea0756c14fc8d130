"""The visitors: each worker asks one kind of thing again and again until it is told to stop.

To add a kind over HTTP: a row in `KINDS` and a field in `Mix`. The site must be `lab.app`, or answer like it.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import time
from contextlib import suppress
from typing import NamedTuple

from lab.app.frames import CLOSE, GOING_AWAY, TEXT, Frame, code_of, goodbye
from lab.load.connection import Answer, Connection, Lost, Target
from lab.load.report import Report

BREATH_S = 0.02  # after a failure, so that a dead server does not get a million
BETWEEN_MESSAGES_S = 0.2
NORMAL = 1000  # code of a WebSocket that has done its work


class Mix(NamedTuple):
    """How many workers of each kind."""

    get: int = 8
    post: int = 4
    slow: int = 2
    fresh: int = 2
    websocket: int = 2


USUAL = Mix()


class Kind(NamedTuple):
    """`body` is its size in bytes. A `is_fresh` one opens a connection for each request."""

    method: str = "GET"
    path: str = "/"
    body: int = 0
    is_fresh: bool = False
    is_paced: bool = True


KINDS = {
    "get": Kind(),
    "post": Kind("POST", body=2000),
    "slow": Kind(path="/slow?s=2", is_paced=False),
    "fresh": Kind(is_fresh=True),
}


class Load:
    """`rate` limits the requests per second of all workers together (0: as fast as they can); slow ones and
    WebSockets keep their own time. A request that takes longer than `timeout_s` has failed.
    """

    def __init__(self, target: Target, mix: Mix = USUAL, *, rate: float = 0, timeout_s: float = 10) -> None:
        self.report = Report()
        self._target = target
        self._mix = mix
        self._timeout_s = timeout_s
        self._interval_s = 1 / rate if rate else 0
        self._next_turn = 0.0
        self._numbers = itertools.count(1)
        self._ending = asyncio.Event()
        self._workers: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Needs a running loop."""
        self.report = Report()
        self._ending.clear()
        for name, count in self._mix._asdict().items():
            for _ in range(count):
                work = self._websockets() if name == "websocket" else self._requests(name)
                self._workers.append(asyncio.create_task(work))

    async def stop(self) -> Report:
        """Lets every open request end by itself, so that each one started is counted."""
        self._ending.set()
        await asyncio.gather(*self._workers)
        self._workers.clear()
        return self.report

    async def _requests(self, name: str) -> None:
        kind = KINDS[name]
        connection: Connection | None = None
        while await self._goes_on(kind.is_paced):
            began = time.monotonic()
            try:
                async with asyncio.timeout(self._timeout_s):
                    if connection is None or kind.is_fresh or not connection.is_usable:
                        connection = await self._reconnect(connection)
                    version = await _exchange(connection, kind, next(self._numbers))
            except (Lost, TimeoutError) as loss:
                await self._lose(name, loss, connection)
                connection = None
            else:
                self.report.succeed(name, time.monotonic() - began, version)
        if connection:
            connection.close()

    async def _goes_on(self, is_paced: bool) -> bool:
        """Waits for the worker's turn; False when the load ends."""
        if is_paced and self._interval_s:
            now = time.monotonic()
            self._next_turn = max(now, self._next_turn + self._interval_s)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), self._next_turn - now)
        return not self._ending.is_set()

    async def _reconnect(self, old: Connection | None) -> Connection:
        if old:
            old.close()
        return await Connection.open(self._target)

    async def _websockets(self) -> None:
        while not self._ending.is_set():
            connection: Connection | None = None
            try:
                async with asyncio.timeout(self._timeout_s):
                    connection = await Connection.open(self._target)
                    await connection.upgrade("/ws")
                await self._converse(connection)
                connection.close()
            except (Lost, TimeoutError) as loss:
                await self._lose("websocket", loss, connection)

    async def _converse(self, connection: Connection) -> None:
        """Messages until a clean end. Raises `Lost` for an unanswered one and for an abnormal end."""
        incoming = _listen(connection)
        try:
            while True:
                began, message = time.monotonic(), b"message %d" % next(self._numbers)
                await connection.send(Frame(TEXT, message))
                _check_echo(await asyncio.wait_for(incoming, self._timeout_s), message)
                self.report.succeed("websocket", time.monotonic() - began)
                incoming = _listen(connection)
                await asyncio.wait({incoming}, timeout=BETWEEN_MESSAGES_S)
                if incoming.done() or self._ending.is_set():
                    await connection.send(goodbye(NORMAL))
                    _check_goodbye(await asyncio.wait_for(incoming, self._timeout_s))
                    return
        finally:
            incoming.cancel()

    async def _lose(self, kind: str, loss: Exception, connection: Connection | None) -> None:
        reason = str(loss) if isinstance(loss, Lost) else f"no answer within {self._timeout_s:g} s"
        self.report.fail(kind, reason)
        if connection:
            connection.close()
        await asyncio.sleep(BREATH_S)


async def _exchange(connection: Connection, kind: Kind, number: int) -> str:
    """One request; returns the version that answered. No two bodies are the same. Raises `Lost`."""
    body = (b"%d " % number).ljust(kind.body, b".") if kind.body else b""
    answer = await connection.ask(kind.method, kind.path, body, *("Connection: close",) * kind.is_fresh)
    if answer.status != 200:
        raise Lost(f"status {answer.status}")
    facts = _facts(answer)
    if body and facts.get("sha256") != hashlib.sha256(body).hexdigest():
        raise Lost("wrong digest")
    return str(facts["version"])


def _facts(answer: Answer) -> dict[str, object]:
    with suppress(ValueError):
        facts = json.loads(answer.body)
        if isinstance(facts, dict) and "version" in facts:
            return facts
    raise Lost(f"not the application's answer: {answer.body[:60]!r}")


def _listen(connection: Connection) -> asyncio.Task[Frame]:
    """The next frame. What it loses may find nobody waiting any more, which is no news to the log."""
    incoming = asyncio.create_task(connection.receive())
    incoming.add_done_callback(lambda done: done.cancelled() or done.exception())
    return incoming


def _check_echo(frame: Frame, message: bytes) -> None:
    if frame.opcode == CLOSE:
        raise Lost(f"goodbye {code_of(frame)} instead of an answer")
    if frame.payload != message:
        raise Lost("wrong message")


def _check_goodbye(frame: Frame) -> None:
    if frame.opcode != CLOSE or code_of(frame) not in (NORMAL, GOING_AWAY):
        raise Lost(f"abnormal end ({code_of(frame) if frame.opcode == CLOSE else 'no goodbye'})")
