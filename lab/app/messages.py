"""HTTP/1.1 as text: reads requests and bodies, writes answers. https://www.rfc-editor.org/rfc/rfc9112"""

from __future__ import annotations

import asyncio
from typing import NamedTuple
from urllib.parse import parse_qsl, urlsplit

LARGEST_BODY = 64 << 20  # bytes


class Request(NamedTuple):
    """`headers` have names in lower case."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    keeps_alive: bool


class Answer(NamedTuple):
    body: bytes
    status: str = "200 OK"
    headers: tuple[str, ...] = ("Content-Type: application/json",)


class BadMessage(Exception):
    """The message cannot be understood; `status` is what a server answers to that."""

    def __init__(self, status: str = "400 Bad Request") -> None:
        super().__init__(status)
        self.status = status


async def read_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> Request:
    """The request that begins with `head`, its body read whole. Raises `BadMessage`."""
    first, headers = split_head(head)
    try:
        method, target, protocol = first.split(" ")
        url = urlsplit(target)
    except ValueError:
        raise BadMessage from None
    if headers.get("expect", "").lower() == "100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    body = await read_body(reader, headers)
    keeps_alive = protocol == "HTTP/1.1" and headers.get("connection", "").lower() != "close"
    return Request(method, url.path, dict(parse_qsl(url.query)), headers, body, keeps_alive)


def split_head(head: bytes) -> tuple[str, dict[str, str]]:
    """The first line, and the headers with names in lower case."""
    first, *lines = head[:-4].decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    return first, {name.strip().lower(): value.strip() for name, _, value in pairs}


async def read_body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    """The body that `headers` announce, whole. Raises `BadMessage`; `IncompleteReadError` when it is cut."""
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return await _read_chunks(reader)
    length = headers.get("content-length", "0")
    if not length.isdecimal():
        raise BadMessage
    if int(length) > LARGEST_BODY:
        raise BadMessage("413 Content Too Large")
    return await reader.readexactly(int(length))


def encode(answer: Answer, *, with_body: bool, keeps_alive: bool) -> bytes:
    lines = (
        f"HTTP/1.1 {answer.status}",
        *answer.headers,
        f"Content-Length: {len(answer.body)}",
        f"Connection: {'keep-alive' if keeps_alive else 'close'}",
    )
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + (answer.body if with_body else b"")


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    while size := _size(await reader.readuntil(b"\r\n")):
        if len(body) + size > LARGEST_BODY:
            raise BadMessage("413 Content Too Large")
        body += (await reader.readexactly(size + 2))[:-2]
    while await reader.readuntil(b"\r\n") != b"\r\n":
        pass  # trailers say nothing to us
    return bytes(body)


def _size(line: bytes) -> int:
    try:
        return int(line.partition(b";")[0], 16)
    except ValueError:
        raise BadMessage from None
