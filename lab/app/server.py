"""A small web application that says which version it is, ends gracefully, and fails as it is told.

One file and only the standard library: its image holds nothing but Debian's Python. The environment says
VERSION, BIND (0.0.0.0), PORT (8080; 0 takes a free one and prints it) and FAULT (one of `FAULTS`).
To add an answer: a line in `Application.routes`. To add a fault: its name in `FAULTS`, its deed where it belongs.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import signal
import socket
import sys
from typing import NamedTuple, NoReturn
from urllib.parse import parse_qsl, urlsplit

FAULTS = (
    "exit1", "oom", "never_listens", "listens_after", "wrong_port", "dies_after",
    "health_500", "health_301", "flapping", "crash_on_health", "ignores_sigterm",
)  # fmt: skip
LARGEST_BODY = 64 << 20
LARGEST_MESSAGE = 1 << 20
OOM_STOPS_AT = 2 << 30  # a container without a memory limit must not eat the machine
LAST_WORD_S = 1.0  # how long an ending server waits for a message, so that none crosses its goodbye

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10
GOING_AWAY, PROTOCOL_ERROR, TOO_BIG = 1001, 1002, 1009
WEBSOCKET_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Fault(NamedTuple):
    """What goes wrong; `seconds` is meant for `listens_after=5` and `dies_after=5`."""

    name: str = ""
    seconds: float = 0


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


class Frame(NamedTuple):
    """https://www.rfc-editor.org/rfc/rfc6455#section-5.2"""

    opcode: int
    payload: bytes
    is_final: bool = True


class BadRequest(Exception):
    """The request cannot be understood; the text is the answer's status."""


class BadFrame(Exception):
    """The WebSocket must end; `code` says why."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Application:
    """Answers on any number of connections; `finish` ends them without leaving a request half done."""

    def __init__(self, version: str, fault: Fault = Fault()) -> None:
        self.version = version
        self.fault = fault
        self.routes = {"/": self._root, "/health": self._health, "/slow": self._slow}
        self.takeovers = {"/ws": self._websocket, "/events": self._events}
        self._is_ending = asyncio.Event()
        self._idle: set[asyncio.StreamWriter] = set()
        self._connections: set[asyncio.Task[None]] = set()
        self._health_checks = 0

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.create_task(self._converse(reader, writer))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)

    async def finish(self) -> None:
        """Closes idle connections and waits until every open request is answered."""
        self._is_ending.set()
        await asyncio.sleep(0)  # whatever has arrived is read first
        for writer in self._idle:
            writer.close()
        while self._connections:
            await asyncio.wait(self._connections)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while not self._is_ending.is_set():
                self._idle.add(writer)
                head = await reader.readuntil(b"\r\n\r\n")
                self._idle.discard(writer)
                if not await self._exchange(await read_request(head, reader, writer), reader, writer):
                    break
        except (BadRequest, asyncio.LimitOverrunError) as problem:
            status = str(problem) if isinstance(problem, BadRequest) else "431 Request Header Fields Too Large"
            writer.write(encode(Answer(b"{}\n", status), "GET", keeps_alive=False))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the peer has left, or `finish` has closed an idle connection
        finally:
            self._idle.discard(writer)
            writer.close()

    async def _exchange(
        self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Answers one request; says whether the connection goes on."""
        if takeover := self.takeovers.get(request.path):
            await takeover(request, reader, writer)
            return False
        if request.method == "POST":
            answer = self._echo(request)
        elif route := self.routes.get(request.path):
            answer = await route(request)
        else:
            answer = self._says("404 Not Found")
        keeps_alive = request.keeps_alive and not self._is_ending.is_set()
        writer.write(encode(answer, request.method, keeps_alive))
        await writer.drain()
        return keeps_alive

    async def _root(self, request: Request) -> Answer:
        return self._says(host=socket.gethostname())

    async def _slow(self, request: Request) -> Answer:
        seconds = min(float(request.query.get("s", "2")), 60)
        await asyncio.sleep(seconds)
        return self._says(seconds=seconds)

    def _echo(self, request: Request) -> Answer:
        return self._says(length=len(request.body), sha256=hashlib.sha256(request.body).hexdigest())

    async def _health(self, request: Request) -> Answer:
        self._health_checks += 1
        match self.fault.name:
            case "health_500":
                return self._says("500 Internal Server Error", health="bad")
            case "health_301":
                return self._says("301 Moved Permanently", "Location: http://127.0.0.1:1/elsewhere")
            case "flapping" if self._health_checks % 2 == 0:
                return self._says("503 Service Unavailable", health="bad")
            case "crash_on_health":
                die("asked for its health")
        return self._says(health="good")

    def _says(self, status: str = "200 OK", *headers: str, **facts: object) -> Answer:
        body = json.dumps({"version": self.version, **facts}).encode() + b"\n"
        return Answer(body, status, ("Content-Type: application/json", *headers))

    async def _events(
        self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Server-sent events, one each `every` seconds, until the client leaves or the server ends."""
        every = max(float(request.query.get("every", "0.2")), 0.01)
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n"
            b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        number = 0
        while not self._is_ending.is_set():
            event = f"id: {number}\ndata: {json.dumps({'version': self.version, 'number': number})}\n\n".encode()
            writer.write(b"%x\r\n%b\r\n" % (len(event), event))
            await writer.drain()
            await asyncio.sleep(every)
            number += 1
        writer.write(b"0\r\n\r\n")
        await writer.drain()

    async def _websocket(
        self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Sends every frame back as it came. When the server ends, says 1001 right behind an answer."""
        writer.write(handshake(request))
        incoming = asyncio.ensure_future(read_frame(reader, is_masked=True))
        ending = asyncio.ensure_future(self._is_ending.wait())
        try:
            while True:
                await asyncio.wait({incoming, ending}, return_when=asyncio.FIRST_COMPLETED)
                if ending.done():  # one more message is waited for, so that none crosses the goodbye
                    await asyncio.wait({incoming}, timeout=LAST_WORD_S)
                if incoming.done():
                    frame = incoming.result()
                    writer.write(reply(frame))
                    await writer.drain()
                    if frame.opcode == CLOSE:
                        return
                    incoming = asyncio.ensure_future(read_frame(reader, is_masked=True))
                if ending.done():
                    writer.write(encode_frame(Frame(CLOSE, GOING_AWAY.to_bytes(2, "big"))))
                    await asyncio.wait_for(incoming, LAST_WORD_S)  # the client's own goodbye
                    return
        except BadFrame as problem:
            writer.write(encode_frame(Frame(CLOSE, problem.code.to_bytes(2, "big"))))
        except TimeoutError:
            pass
        finally:
            incoming.cancel()
            ending.cancel()


async def read_request(
    head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> Request:
    """The request that begins with `head`, its body read whole. Raises `BadRequest`."""
    first, *lines = head[:-4].decode("latin-1").split("\r\n")
    try:
        method, target, protocol = first.split(" ")
        url = urlsplit(target)
    except ValueError:
        raise BadRequest("400 Bad Request") from None
    pairs = (line.partition(":") for line in lines)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    if headers.get("expect", "").lower() == "100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    body = await read_body(headers, reader)
    keeps_alive = protocol == "HTTP/1.1" and headers.get("connection", "").lower() != "close"
    return Request(method, url.path, dict(parse_qsl(url.query)), headers, body, keeps_alive)


async def read_body(headers: dict[str, str], reader: asyncio.StreamReader) -> bytes:
    """The body that `headers` announce, of a request or an answer. Raises `BadRequest`."""
    if headers.get("transfer-encoding", "").lower() == "chunked":
        chunks = []
        while size := int(await reader.readuntil(b"\r\n"), 16):
            chunks.append((await reader.readexactly(size + 2))[:-2])
        await reader.readuntil(b"\r\n")
        return b"".join(chunks)
    length = headers.get("content-length", "0")
    if not length.isdecimal():
        raise BadRequest("400 Bad Request")
    if int(length) > LARGEST_BODY:
        raise BadRequest("413 Content Too Large")
    return await reader.readexactly(int(length))


def encode(answer: Answer, method: str, keeps_alive: bool) -> bytes:
    lines = (
        f"HTTP/1.1 {answer.status}",
        *answer.headers,
        f"Content-Length: {len(answer.body)}",
        f"Connection: {'keep-alive' if keeps_alive else 'close'}",
    )
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + (b"" if method == "HEAD" else answer.body)


def accept_key(key: str) -> str:
    """The answer to `Sec-WebSocket-Key`: https://www.rfc-editor.org/rfc/rfc6455#section-4.2.2"""
    return base64.b64encode(hashlib.sha1((key + WEBSOCKET_GUID).encode()).digest()).decode()  # noqa: S324


def handshake(request: Request) -> bytes:
    """Raises `BadRequest` when the request does not ask for a WebSocket."""
    if request.headers.get("upgrade", "").lower() != "websocket":
        raise BadRequest("426 Upgrade Required")
    lines = (
        "HTTP/1.1 101 Switching Protocols",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Accept: {accept_key(request.headers.get('sec-websocket-key', ''))}",
    )
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


async def read_frame(reader: asyncio.StreamReader, *, is_masked: bool) -> Frame:
    """The next frame; clients mask theirs, servers do not. Raises `BadFrame`."""
    first, second = await reader.readexactly(2)
    length = second & 127
    if length > 125:
        length = int.from_bytes(await reader.readexactly(2 if length == 126 else 8), "big")
    if bool(second & 128) != is_masked or first & 112:
        raise BadFrame(PROTOCOL_ERROR)
    if length > LARGEST_MESSAGE:
        raise BadFrame(TOO_BIG)
    mask = await reader.readexactly(4) if is_masked else b""
    payload = await reader.readexactly(length)
    return Frame(first & 15, masked(payload, mask) if mask else payload, bool(first & 128))


def encode_frame(frame: Frame, mask: bytes = b"") -> bytes:
    """A frame's bytes; a client gives the four bytes of `mask`."""
    first, length, bit = frame.opcode | (128 if frame.is_final else 0), len(frame.payload), 128 if mask else 0
    if length < 126:
        head = bytes((first, bit | length))
    elif length < 1 << 16:
        head = bytes((first, bit | 126)) + length.to_bytes(2, "big")
    else:
        head = bytes((first, bit | 127)) + length.to_bytes(8, "big")
    return head + mask + (masked(frame.payload, mask) if mask else frame.payload)


def masked(payload: bytes, mask: bytes) -> bytes:
    """Applied twice, it undoes itself."""
    key = (mask * (len(payload) // 4 + 1))[: len(payload)]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(len(payload), "big")


def reply(frame: Frame) -> bytes:
    """An echo: data and goodbyes come back as they were, a ping as a pong; a pong needs no answer."""
    if frame.opcode == PONG:
        return b""
    return encode_frame(frame._replace(opcode=PONG) if frame.opcode == PING else frame)


def read_fault(text: str) -> Fault:
    """`dies_after=5` is `Fault("dies_after", 5.0)`. Raises `ValueError` for a fault that is not one of `FAULTS`."""
    name, _, seconds = text.partition("=")
    if name and name not in FAULTS:
        raise ValueError(f"{name!r} is no fault; there are {', '.join(FAULTS)}")
    return Fault(name, float(seconds or 1))


def say(line: str) -> None:
    print(line, flush=True)


def die(why: str) -> NoReturn:
    """Ends at once, as a crash does: open connections are cut."""
    say(f"dying: {why}")
    os._exit(1)


def eat_memory() -> NoReturn:
    eaten = []
    while len(eaten) < OOM_STOPS_AT >> 20:
        eaten.append(b"\1" * (1 << 20))
    die("there is no memory limit")


async def serve(version: str, fault: Fault, ending: asyncio.Event) -> None:
    """Serves until `ending` is set, then finishes what is open."""
    if fault.name == "never_listens":
        say("never listening")
        await ending.wait()
        return
    if fault.name == "listens_after":
        await asyncio.wait({asyncio.ensure_future(ending.wait())}, timeout=fault.seconds)
    application = Application(version, fault)
    port = int(os.environ.get("PORT", "8080")) + (fault.name == "wrong_port")
    server = await asyncio.start_server(
        application.accept, os.environ.get("BIND", "0.0.0.0"), port, backlog=1024  # noqa: S104
    )
    address, port = server.sockets[0].getsockname()[:2]
    say(f"version {version} listening on {address}:{port}")
    if fault.name == "dies_after":
        asyncio.get_running_loop().call_later(fault.seconds, die, "its time has come")
    await ending.wait()
    say("ending: no new connections, open requests are finished")
    server.close()
    await application.finish()


async def main() -> int:
    version, fault = os.environ.get("VERSION", "none"), read_fault(os.environ.get("FAULT", ""))
    say(f"version {version} starting" + (f" with fault {fault.name}" if fault.name else ""))
    ending = asyncio.Event()
    if fault.name == "ignores_sigterm":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:  # process 1 of a container gets no signal that it does not ask for
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ending.set)
    if fault.name == "exit1":
        say("cannot read the settings")
        say("giving up")
        return 1
    if fault.name == "oom":
        eat_memory()
    await serve(version, fault, ending)
    say("ended")
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
