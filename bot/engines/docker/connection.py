"""The one place that speaks docker-py: threads, limits and errors of everything said to one daemon.

docker-py blocks, so every call runs in a thread of our own pools, never of asyncio's default one.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import socket
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar

import docker
import docker.errors
import orjson
import requests
import urllib3.exceptions

from bot.engines import Credentials
from bot.engines.docker.lines import Chunks, Lines
from bot.errors import EngineError, EngineUnavailable

T = TypeVar("T")
Client = docker.APIClient
CONNECT_S = 5.0
PIECE = 64 * 1024  # bytes read from a stream at once
SMALL_PIECE = 16 * 1024  # a socket holds less than 300 of Docker's lines, so what is fuller is read on at once
SHORT_THREADS, LONG_THREADS = 8, 64  # long: streams, stops that wait for a program to end, statistics
LOOK = "`systemctl status docker` shows how it is."
log = logging.getLogger(__name__)


class Refused(EngineError):
    """The daemon answered with an error: HTTP's `status`, Docker's own `sentence` without its full stop."""

    def __init__(self, doing: str, status: int, sentence: str) -> None:
        super().__init__(f"Docker could not {doing}: {sentence}.")
        self.status = status
        self.sentence = sentence


class Connection:
    """Calls and streams of the daemon at `host`.

    `patience_s` bounds every call, and the wait for the beginning of every stream. The client is made, and
    the API version agreed on, at the first call, and anew after the connection was lost: the daemon may be
    another one by then.
    """

    def __init__(self, host: str, patience_s: float) -> None:
        self._host = host
        self._patience_s = patience_s
        self._client: Client | None = None
        self._short = ThreadPoolExecutor(SHORT_THREADS, thread_name_prefix="docker-short")
        self._long = ThreadPoolExecutor(LONG_THREADS, thread_name_prefix="docker-long")
        self._streams: set[Stream] = set()

    async def call(self, doing: str, ask: Callable[[Client], T], *, extra_s: float = 0) -> T:
        """What `ask` answers, asked in a thread. `extra_s`: seconds the daemon itself is told to wait.

        `doing` completes "Docker could not ...". Raises `Refused`, `EngineUnavailable`.
        """
        pool = self._long if extra_s else self._short
        return await self._in_time(doing, pool, lambda: self._ask(doing, ask), self._patience_s + extra_s)

    async def run(self, work: Callable[[], T]) -> T:
        """Runs blocking `work` that is no call of the daemon (files) in one of the threads."""
        return await asyncio.get_running_loop().run_in_executor(self._short, work)

    @asynccontextmanager
    async def stream(
        self,
        doing: str,
        path: str,
        *,
        method: str = "GET",
        params: dict[str, str],
        credentials: Credentials | None = None,
        begin_s: float = 0,
        quiet_s: float | None = None,
        gather_s: float = 0,
    ) -> AsyncIterator[Stream]:
        """An answer that goes on, closed at the end of the block.

        `begin_s` and `quiet_s`: longest wait for its beginning (default: `patience_s`) and for its next piece
        (default: none). `gather_s`: pause after a small piece, so that more comes at once.

        Raises `Refused`, `EngineUnavailable`.
        """
        limit_s = begin_s or self._patience_s

        def begin(client: Client) -> Stream:
            response = client.request(
                method,
                f"{client.base_url}/v{client.api_version}{path}",
                params=params,
                headers=_headers(credentials),
                stream=True,
                timeout=(CONNECT_S, limit_s),
            )
            _raise_for_status(response)
            return Stream(response, self._long, doing, quiet_s, gather_s)

        opened = await self._in_time(doing, self._long, lambda: self._ask(doing, begin), limit_s)
        self._streams.add(opened)
        try:
            yield opened
        finally:
            self._streams.discard(opened)
            opened.close()

    def close(self) -> None:
        for stream in tuple(self._streams):
            stream.close()
        for pool in (self._short, self._long):
            pool.shutdown(wait=False, cancel_futures=True)
        if self._client:
            self._client.close()

    async def _in_time(self, doing: str, pool: ThreadPoolExecutor, work: Callable[[], T], limit_s: float) -> T:
        try:
            async with asyncio.timeout(limit_s):
                return await asyncio.get_running_loop().run_in_executor(pool, work)
        except TimeoutError:
            raise EngineUnavailable(
                f"Docker did not answer within {limit_s:g} s, so o8 could not {doing}.", LOOK
            ) from None

    def _ask(self, doing: str, ask: Callable[[Client], T]) -> T:
        try:
            with translated(doing):
                if self._client is None:  # two threads may both make one; either will do
                    self._client = Client(self._host, timeout=self._patience_s)  # type: ignore[arg-type]
                return ask(self._client)
        except EngineUnavailable as error:
            log.warning("%s Cause: %r", error, error.__cause__)
            self._client = None
            raise


class Stream:
    """An answer of the daemon that goes on. Read by one task; closing it ends a waiting read at once."""

    def __init__(
        self, response: requests.Response, pool: ThreadPoolExecutor, doing: str, quiet_s: float | None, gather_s: float
    ) -> None:
        self._response = response
        self._pieces: Iterator[bytes] = _bodies(response)
        self._pool = pool
        self._gather_s = gather_s
        self._doing = doing
        self._reading = threading.Lock()
        self._is_closed = False
        connection: Any = response.raw.connection
        self._socket: socket.socket | None = connection.sock if connection else None
        if self._socket:
            self._socket.settimeout(quiet_s)

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """Pieces as they come, to the end. Raises `EngineUnavailable` when cut off, or quiet for too long."""
        loop = asyncio.get_running_loop()
        while piece := await loop.run_in_executor(self._pool, self._read):
            yield piece
            if self._gather_s and len(piece) < SMALL_PIECE:
                await asyncio.sleep(self._gather_s)

    async def objects(self) -> AsyncGenerator[dict[str, Any], None]:
        """The pieces as JSON objects, one per line. Raises `EngineUnavailable`, `EngineError`."""
        lines = Lines()
        async for piece in self.pieces():
            for line in lines.feed(piece):
                if line:
                    yield _object(line)

    def close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        if not self._socket:  # all of it has been read already
            return
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError as error:  # the daemon was faster
            log.debug("stream was already closed: %s", error)
        with self._reading:
            self._response.close()

    def _read(self) -> bytes:
        with self._reading:
            if self._is_closed:
                return b""
            try:
                with translated(self._doing):
                    return next(self._pieces, b"")
            except EngineUnavailable:
                if self._is_closed:  # our own doing, by `close`
                    return b""
                raise


def _bodies(response: requests.Response) -> Iterator[bytes]:
    """Pieces of the body: all that has come each time, not chunk by chunk as urllib3 gives them.

    A log that writes thousands of lines in a second would wake a thread for each.
    """
    raw: Any = response.raw
    if not raw.chunked or response.headers.get("Content-Encoding"):
        yield from raw.stream(PIECE, decode_content=True)
        return
    source, chunks = raw._fp.fp, Chunks()
    while not chunks.is_complete:
        came = source.read1(PIECE)
        if not came:
            raise ConnectionResetError("the answer broke off")
        if body := _body(chunks, came):
            yield body


def _body(chunks: Chunks, came: bytes) -> bytes:
    try:
        return chunks.feed(came)
    except ValueError:
        raise ConnectionAbortedError("the answer is no HTTP") from None


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Turns what docker-py, requests and urllib3 raise into `Refused` or `EngineUnavailable`."""
    try:
        yield
    except docker.errors.APIError as error:
        sentence = str(error.explanation or error).strip().rstrip(".")
        raise Refused(doing, error.status_code or 0, sentence) from error
    except (
        docker.errors.DockerException,
        requests.RequestException,
        urllib3.exceptions.HTTPError,
        OSError,
    ) as error:
        raise _unavailable(doing, str(error)) from error


def _unavailable(doing: str, why: str) -> EngineUnavailable:
    if "Permission denied" in why:
        return EngineUnavailable(
            f"o8 may not speak to Docker, so it could not {doing}.", "Add o8's user to the group `docker`."
        )
    return EngineUnavailable(f"Docker did not answer, so o8 could not {doing}.", LOOK)


def _raise_for_status(response: requests.Response) -> None:
    try:
        response.raise_for_status()
    except requests.HTTPError as error:
        docker.errors.create_api_error_from_http_exception(error)  # raises, with Docker's own sentence


def _headers(credentials: Credentials | None) -> dict[str, str]:
    """Docker's own header for credentials; anonymous pulls send it too, so that no others are looked up."""
    if credentials is None:
        return {}
    account = {"serveraddress": credentials.server}
    if credentials.username:
        account |= {"username": credentials.username, "password": credentials.password}
    return {"X-Registry-Auth": base64.urlsafe_b64encode(orjson.dumps(account)).decode()}


def _object(line: bytes) -> dict[str, Any]:
    try:
        value: dict[str, Any] = orjson.loads(line)
    except orjson.JSONDecodeError:
        raise EngineError(f"Docker sent a line that is no JSON: {line[:80]!r}.") from None
    return value
