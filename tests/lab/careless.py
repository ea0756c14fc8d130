"""The control of the load: a server that answers as the application does, and wrongs every third request."""

from __future__ import annotations

import asyncio
import hashlib
import json
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from lab.app.frames import CLOSE, Frame, accept_key, encode_frame, goodbye, read_frame
from lab.app.messages import Answer, Request, encode, read_request
from lab.load import Target

EVERY = 3
Wrong = Callable[[asyncio.StreamWriter, bytes], bool]  # writer, the right bytes -> whether the connection lives


def reset(writer: asyncio.StreamWriter, right: bytes) -> bool:
    """An end that the other side sees as an error."""
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return False


def hang_up(writer: asyncio.StreamWriter, right: bytes) -> bool:
    return False


def cut_in_head(writer: asyncio.StreamWriter, right: bytes) -> bool:
    writer.write(right[:20])
    return False


def cut_in_body(writer: asyncio.StreamWriter, right: bytes) -> bool:
    writer.write(right[:-3])
    return False


def bad_gateway(writer: asyncio.StreamWriter, right: bytes) -> bool:
    writer.write(encode(Answer(b"Bad Gateway", "502 Bad Gateway"), with_body=True, keeps_alive=True))
    return True


def wrong_digest(writer: asyncio.StreamWriter, right: bytes) -> bool:
    body = json.dumps({"version": "1", "sha256": "0" * 64}).encode()
    writer.write(encode(Answer(body), with_body=True, keeps_alive=True))
    return True


def somebody_else(writer: asyncio.StreamWriter, right: bytes) -> bool:
    writer.write(encode(Answer(b"<h1>Welcome to nginx!"), with_body=True, keeps_alive=True))
    return True


def silence(writer: asyncio.StreamWriter, right: bytes) -> bool:
    return True


def polite_end(writer: asyncio.StreamWriter, right: bytes) -> bool:
    """Not wrong at all: the last answer on this connection says that it is the last."""
    writer.write(right.replace(b"keep-alive", b"close"))
    return False


def wrong_message(writer: asyncio.StreamWriter, right: bytes) -> bool:
    writer.write(encode_frame(Frame(1, b"another")))
    return True


def goodbye_instead(writer: asyncio.StreamWriter, right: bytes) -> bool:
    writer.write(encode_frame(goodbye(1001)))
    return True


def goodbye_behind(writer: asyncio.StreamWriter, right: bytes) -> bool:
    writer.write(right + encode_frame(goodbye(1001)))
    return True


def error_behind(writer: asyncio.StreamWriter, right: bytes) -> bool:
    writer.write(right + encode_frame(goodbye(1011)))
    return True


def hang_up_behind(writer: asyncio.StreamWriter, right: bytes) -> bool:
    writer.write(right)
    return False


class Careless:
    """`requests` have come so far, `wronged` of them were wronged. WebSocket messages count like requests."""

    def __init__(self, wrong: Wrong) -> None:
        self.version = "1"
        self.requests = 0
        self.wronged = 0
        self.port = 0
        self._wrong = wrong

    @property
    def target(self) -> Target:
        return Target("127.0.0.1", self.port)

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._exchange(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the load has hung up
        finally:
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        request = await read_request(reader, writer, await reader.readuntil(b"\r\n\r\n"))
        if request.path == "/ws":
            await self._websocket(request, reader, writer)
            return False
        facts = {"version": self.version, "sha256": hashlib.sha256(request.body).hexdigest()}
        right = encode(Answer(json.dumps(facts).encode()), with_body=True, keeps_alive=True)
        return self._answer(writer, right) and request.keeps_alive

    async def _websocket(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        key = accept_key(request.headers["sec-websocket-key"])
        writer.write(f"HTTP/1.1 101 OK\r\nSec-WebSocket-Accept: {key}\r\n\r\n".encode())
        while (frame := await read_frame(reader, is_masked=True)).opcode != CLOSE:
            if not self._answer(writer, encode_frame(frame)):
                return
        writer.write(encode_frame(frame))

    def _answer(self, writer: asyncio.StreamWriter, right: bytes) -> bool:
        self.requests += 1
        if self.requests % EVERY:
            writer.write(right)
            return True
        self.wronged += 1
        return self._wrong(writer, right)


@asynccontextmanager
async def careless(wrong: Wrong) -> AsyncIterator[Careless]:
    site = Careless(wrong)
    server = await asyncio.start_server(site.converse, "127.0.0.1", 0)
    site.port = server.sockets[0].getsockname()[1]
    try:
        yield site
    finally:
        server.close()
