"""Readers of followed logs for tests: the same questions over text, server-sent events and WebSockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import aiohttp
import orjson

from lab.waiting import until

KINDS = ("text", "events", "frames")
_PATHS = {"text": "?follow=1&", "events": "/events?", "frames": "/ws?"}


@dataclass
class Reader:
    """`lines` are those of the containers, `said` what o8 says itself. `id`: of the last event."""

    kind: str
    lines: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    id: str = ""
    has_ended: bool = False

    async def has(self, count: int) -> None:
        async def look() -> bool:
            return len(self.lines) >= count

        await until(look)

    async def is_told(self, words: str) -> None:
        async def look() -> bool:
            return words in " ".join(self.said)

        await until(look)

    async def ends(self) -> None:
        async def look() -> bool:
            return self.has_ended

        await until(look)

    def take(self, line: str) -> None:
        (self.said if line.startswith("--- ") else self.lines).append(line)


def path(kind: str, service: str = "web", **query: object) -> str:
    return f"/api/v1/services/{service}/logs{_PATHS[kind]}{urlencode(query)}"


@asynccontextmanager
async def following(
    client: aiohttp.ClientSession, kind: str, *, base: str = "http://o8", headers: Mapping[str, str] | None = None,
    service: str = "web", **query: object,
) -> AsyncIterator[Reader]:  # fmt: skip
    """Reads until the end of the block, or of the log."""
    reader, has_begun = Reader(kind), asyncio.Event()
    url, reading = base + path(kind, service, **query), {"text": _text, "events": _events, "frames": _frames}[kind]

    async def read() -> None:
        await reading(client, url, headers or {}, reader, has_begun)
        reader.has_ended = True

    task = asyncio.create_task(read())
    await asyncio.wait({task, asyncio.create_task(has_begun.wait())}, return_when=asyncio.FIRST_COMPLETED)
    try:
        yield reader
    finally:
        task.cancel()
        ended = (await asyncio.gather(task, return_exceptions=True))[0]
        if isinstance(ended, Exception):
            raise ended


class StuckReader:
    """Asks, and reads nothing until `rest`; its buffer is as small as the kernel allows."""

    def __init__(self, address: Any, kind: str, tail: int = 0, service: str = "web") -> None:
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self._socket = socket.socket(family)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._socket.connect(address)
        upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        more = f"{upgrade}Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" if kind == "frames" else ""
        close = "Connection: close\r\n"
        self._socket.sendall(
            f"GET {path(kind, service, tail=tail)} HTTP/1.1\r\nHost: o8\r\n{more or close}\r\n".encode()
        )

    async def rest(self, within_s: float = 20) -> bytes:
        """All that comes until o8 closes the connection."""
        self._socket.setblocking(False)
        loop, found = asyncio.get_running_loop(), bytearray()
        try:
            async with asyncio.timeout(within_s):
                while piece := await loop.sock_recv(self._socket, 1 << 20):
                    found += piece
        except ConnectionResetError:
            pass
        return bytes(found)

    def close(self) -> None:
        self._socket.close()


async def _text(
    client: aiohttp.ClientSession, url: str, headers: Mapping[str, str], reader: Reader, has_begun: asyncio.Event
) -> None:
    async with client.get(url, headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        has_begun.set()
        while line := await answer.content.readline():
            reader.take(line.decode().removesuffix("\n"))


async def _events(
    client: aiohttp.ClientSession, url: str, headers: Mapping[str, str], reader: Reader, has_begun: asyncio.Event
) -> None:
    async with client.get(url, headers=headers) as answer:
        assert (answer.status, answer.content_type) == (200, "text/event-stream"), await answer.text()
        event = ""
        while line := (await answer.content.readline()).decode():
            name, _, value = line.removesuffix("\n").partition(": ")
            if name == "id":
                reader.id = value
            elif name == "event":
                event = value
            elif name == "data" and event == "lines":
                for _, number, text in orjson.loads(value):
                    reader.take(text)
                    assert (number is None) == text.startswith("--- ")
            elif name == "data":
                reader.said.append(orjson.loads(value)["message"])
            if not name:
                has_begun.set()


async def _frames(
    client: aiohttp.ClientSession, url: str, headers: Mapping[str, str], reader: Reader, has_begun: asyncio.Event
) -> None:
    async with client.ws_connect(url, headers=headers) as connection:
        has_begun.set()
        async for message in connection:
            for line in message.data.splitlines():
                reader.take(line)
