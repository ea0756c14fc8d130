"""One connection of a visitor. Raw streams, as every HTTP client repeats some requests in silence."""

from __future__ import annotations

import asyncio
import base64
import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import NamedTuple, Self

from lab.app.frames import BadFrame, Frame, accept_key, encode_frame, read_frame
from lab.app.messages import BadMessage, read_body, split_head


class Lost(Exception):
    """The visitor noticed something; the text says exactly what."""


class Target(NamedTuple):
    """Where to connect, and the Host header to send; by TLS when `root` is the certificate (PEM) to trust."""

    address: str
    port: int
    host: str = "localhost"
    root: str = ""


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


class Connection:
    """Every method raises `Lost`. The caller limits the time."""

    def __init__(self, target: Target, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._host = target.host
        self._reader = reader
        self._writer = writer
        self._is_over = False

    @classmethod
    async def open(cls, target: Target) -> Self:
        try:
            tls, host = (_trusting(target.root), target.host) if target.root else (None, None)
            return cls(target, *await asyncio.open_connection(
                target.address, target.port, ssl=tls, server_hostname=host))  # fmt: skip
        except ssl.SSLCertVerificationError as problem:
            raise Lost(f"certificate refused: {problem.verify_message}") from None
        except ConnectionRefusedError:
            raise Lost("connection refused") from None
        except OSError as problem:
            raise Lost(f"cannot connect: {problem.strerror or problem}") from None

    @property
    def is_usable(self) -> bool:
        """False once the server has said or shown that it takes no more requests here."""
        return not (self._is_over or self._reader.at_eof() or self._writer.is_closing())

    async def ask(self, method: str, path: str, body: bytes = b"", *headers: str) -> Answer:
        """One request and its whole answer."""
        length = (f"Content-Length: {len(body)}",) * (method == "POST")
        lines = (f"{method} {path} HTTP/1.1", f"Host: {self._host}", *length, *headers)
        with _losses():
            self._writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
            await self._writer.drain()
            first, fields = split_head(await self._reader.readuntil(b"\r\n\r\n"))
            status = _status(first)
        if status != 101:
            with _losses("body cut"):
                body = await read_body(self._reader, fields)
            self._is_over = fields.get("connection", "").lower() == "close"
        return Answer(status, fields, body)

    async def upgrade(self, path: str) -> None:
        """From here on, the connection is a WebSocket."""
        key = base64.b64encode(os.urandom(16)).decode()
        wishes = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13")
        answer = await self.ask("GET", path, b"", *wishes, f"Sec-WebSocket-Key: {key}")
        if answer.status != 101:
            raise Lost(f"status {answer.status} instead of a WebSocket")
        if answer.headers.get("sec-websocket-accept") != accept_key(key):
            raise Lost("wrong Sec-WebSocket-Accept")

    async def send(self, frame: Frame) -> None:
        with _losses():
            self._writer.write(encode_frame(frame, mask=os.urandom(4)))
            await self._writer.drain()

    async def receive(self) -> Frame:
        with _losses("closed without a goodbye"):
            return await read_frame(self._reader, is_masked=False)

    def close(self) -> None:
        self._writer.close()


@lru_cache
def _trusting(root: str) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=root)


@contextmanager
def _losses(cut: str = "") -> Iterator[None]:
    """Says what the visitor lost; `cut` names an end of the connection in the middle."""
    try:
        yield
    except asyncio.IncompleteReadError as problem:
        if cut:
            got = f" ({len(problem.partial)} of {problem.expected} bytes)" if problem.expected else ""
            raise Lost(cut + got) from None
        raise Lost("head cut" if problem.partial else "closed without an answer") from None
    except ConnectionError:
        raise Lost("connection reset") from None
    except (BadMessage, BadFrame, asyncio.LimitOverrunError, ValueError) as problem:
        raise Lost(f"not understood: {problem}") from None


def _status(first: str) -> int:
    """Of `HTTP/1.1 200 OK`."""
    protocol, _, rest = first.partition(" ")
    if not protocol.startswith("HTTP/1.") or not rest[:3].isdecimal():
        raise ValueError(f"answer begins with {first[:40]!r}")
    return int(rest[:3])
