"""A small web application that says which version it is, ends gracefully, and fails as it is told.

The environment says VERSION, BIND (0.0.0.0), PORT (8080; 0 takes a free one) and FAULT (see `faults`).
SIGTERM stops the listening, finishes what is open and ends with 0. To add an answer: `Application.routes`.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import socket
import sys

from lab.app.faults import NONE, Fault, die, eat_memory, read_fault
from lab.app.frames import (
    CLOSE,
    GOING_AWAY,
    PING,
    PONG,
    BadFrame,
    Frame,
    accept_key,
    encode_frame,
    goodbye,
    read_frame,
)
from lab.app.messages import Answer, BadMessage, Request, encode, read_request

LAST_WORD_S = 1.0  # how long an ending server waits for one more message of a WebSocket
LONGEST_S = 60.0


class Application:
    """Answers on any number of connections; `finish` ends them without leaving a request half done."""

    def __init__(self, version: str, fault: Fault = NONE) -> None:
        self.version = version
        self.fault = fault
        self.routes = {"/": self._root, "/health": self._health, "/slow": self._slow}
        self.takeovers = {"/ws": self._websocket, "/events": self._events}
        self._is_ending = asyncio.Event()
        self._idle: set[asyncio.StreamWriter] = set()
        self._connections: set[asyncio.Task[None]] = set()
        self._health_checks = 0

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """For `asyncio.start_server`."""
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
            while await self._exchange(reader, writer):
                pass
        except BadMessage as problem:
            writer.write(encode(Answer(b"{}\n", problem.status), with_body=True, keeps_alive=False))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the peer has left, or `finish` has closed an idle connection
        finally:
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answers one request; says whether the connection goes on."""
        request = await self._next(reader, writer)
        if takeover := self.takeovers.get(request.path):
            await takeover(request, reader, writer)
            return False
        if request.method == "POST":
            answer = self._echo(request)
        else:
            answer = await self.routes.get(request.path, self._unknown)(request)
        keeps_alive = request.keeps_alive and not self._is_ending.is_set()
        writer.write(encode(answer, with_body=request.method != "HEAD", keeps_alive=keeps_alive))
        await writer.drain()
        return keeps_alive

    async def _next(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Request:
        """The next request. Until its head has come, the connection is idle."""
        self._idle.add(writer)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            raise BadMessage("431 Request Header Fields Too Large") from None
        finally:
            self._idle.discard(writer)
        return await read_request(reader, writer, head)

    async def _root(self, request: Request) -> Answer:
        return self._says(host=socket.gethostname())

    async def _slow(self, request: Request) -> Answer:
        seconds = _seconds(request, "s", 2)
        await asyncio.sleep(seconds)
        return self._says(seconds=seconds)

    async def _health(self, request: Request) -> Answer:
        self._health_checks += 1
        match self.fault.name:
            case "health_500":
                return self._says("500 Internal Server Error", health="bad")
            case "health_301":
                return self._says("301 Moved Permanently", "Location: /elsewhere")
            case "flapping" if self._health_checks % 2 == 0:
                return self._says("503 Service Unavailable", health="bad")
            case "crash_on_health":
                die("was asked for its health")
        return self._says(health="good")

    async def _unknown(self, request: Request) -> Answer:
        return self._says("404 Not Found")

    def _echo(self, request: Request) -> Answer:
        return self._says(length=len(request.body), sha256=hashlib.sha256(request.body).hexdigest())

    def _says(self, status: str = "200 OK", *headers: str, **facts: object) -> Answer:
        body = json.dumps({"version": self.version, **facts}).encode() + b"\n"
        return Answer(body, status, ("Content-Type: application/json", *headers))

    async def _events(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Server-sent events, one each `every` seconds, until the client leaves or the server ends."""
        every, number = _seconds(request, "every", 0.2), 0
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n"
            b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        ending = asyncio.ensure_future(self._is_ending.wait())
        try:
            while not ending.done():
                event = f"id: {number}\ndata: {self.version}\n\n".encode()
                writer.write(b"%x\r\n%b\r\n" % (len(event), event))
                await writer.drain()
                await asyncio.wait({ending}, timeout=every)
                number += 1
            writer.write(b"0\r\n\r\n")
        finally:
            ending.cancel()

    async def _websocket(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Sends every frame back as it came. When the server ends, says 1001 right behind an answer."""
        writer.write(_handshake(request))
        ending = asyncio.ensure_future(self._is_ending.wait())
        incoming = asyncio.ensure_future(read_frame(reader, is_masked=True))
        try:
            while True:
                await asyncio.wait({incoming, ending}, return_when=asyncio.FIRST_COMPLETED)
                if ending.done():  # one more message is waited for, so that none crosses the goodbye
                    await asyncio.wait({incoming}, timeout=LAST_WORD_S)
                if incoming.done():
                    frame = incoming.result()
                    writer.write(_reply(frame))
                    await writer.drain()
                    if frame.opcode == CLOSE:
                        return
                    incoming = asyncio.ensure_future(read_frame(reader, is_masked=True))
                if ending.done():
                    writer.write(encode_frame(goodbye(GOING_AWAY)))
                    await asyncio.wait_for(incoming, LAST_WORD_S)  # the client's own goodbye
                    return
        except BadFrame as problem:
            writer.write(encode_frame(goodbye(problem.code)))
        except TimeoutError:
            pass
        finally:
            incoming.cancel()
            ending.cancel()


def _seconds(request: Request, name: str, default: float) -> float:
    try:
        return min(max(float(request.query.get(name, default)), 0.001), LONGEST_S)
    except ValueError:
        raise BadMessage from None


def _handshake(request: Request) -> bytes:
    if request.headers.get("upgrade", "").lower() != "websocket":
        raise BadMessage("426 Upgrade Required")
    key = accept_key(request.headers.get("sec-websocket-key", ""))
    return (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {key}\r\n\r\n"
    ).encode()


def _reply(frame: Frame) -> bytes:
    """Data and goodbyes come back as they were, a ping as a pong; a pong needs no answer."""
    if frame.opcode == PONG:
        return b""
    return encode_frame(frame._replace(opcode=PONG) if frame.opcode == PING else frame)


async def serve(version: str, fault: Fault, ending: asyncio.Event) -> None:
    """Serves until `ending` is set, then finishes what is open."""
    application = Application(version, fault)
    bind, port = os.environ.get("BIND", "0.0.0.0"), int(os.environ.get("PORT", "8080"))  # noqa: S104
    port += fault.name == "wrong_port"
    server = await asyncio.start_server(application.accept, bind, port, backlog=1024)
    address, port = server.sockets[0].getsockname()[:2]
    _say(f"version {version} listening on {address}:{port}")
    if fault.name == "dies_after":
        asyncio.get_running_loop().call_later(fault.seconds, die, "its time has come")
    await ending.wait()
    server.close()
    _say("ending: no new connections, open requests are finished")
    await application.finish()


async def main() -> int:
    version, fault = os.environ.get("VERSION", "none"), read_fault(os.environ.get("FAULT", ""))
    ending = asyncio.Event()
    if fault.name == "ignores_sigterm":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:  # process 1 of a container gets no signal that it does not ask for
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ending.set)
    _say(f"version {version} starting" + f" with fault {fault.name}" * bool(fault.name))
    match fault.name:
        case "exit1":
            _say("cannot read the settings")
            _say("giving up")
            return 1
        case "oom":
            eat_memory()
        case "never_listens":
            await ending.wait()
        case "listens_after":
            await asyncio.wait({asyncio.ensure_future(ending.wait())}, timeout=fault.seconds)
    if not ending.is_set():
        await serve(version, fault, ending)
    _say("ended")
    return 0


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
