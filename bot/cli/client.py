"""Asks the running o8 over its Unix socket. Plain calls that wait; their errors are o8's own, by code."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import orjson
from yarl import URL

from bot.errors import O8Error

_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=5)  # a stop may take as long as its `stop_timeout`


class Unreachable(O8Error):
    """No o8 answers on the socket."""

    code = "unreachable"


class Refused(O8Error):
    """o8's own answer: `code` is that of the error inside it."""

    def __init__(self, problem: dict[str, Any], status: int) -> None:
        message = str(problem.get("detail") or problem.get("title") or f"o8 answered {status}.")
        super().__init__(message, str(problem.get("next_step") or ""))
        self.code = str(problem.get("code") or status)


class Client:
    """Calls of /api/v1. Raises `Refused` for what o8 refuses, `Unreachable` when it does not answer."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._runner = asyncio.Runner()
        self._session: aiohttp.ClientSession | None = None

    def get(self, *path: object, **query: object) -> Any:
        return self._runner.run(self._call("GET", path, query=query))

    def post(self, *path: object, body: object = None, **query: object) -> Any:
        return self._runner.run(self._call("POST", path, body, query))

    def put(self, *path: object, body: object) -> Any:
        return self._runner.run(self._call("PUT", path, body))

    def patch(self, *path: object, body: object) -> Any:
        return self._runner.run(self._call("PATCH", path, body))

    def delete(self, *path: object, **query: object) -> Any:
        return self._runner.run(self._call("DELETE", path, query=query))

    def stream(self, *path: object, **query: object) -> Iterator[str]:
        """Lines of text as they come, until it ends."""
        answer = self._runner.run(self._open("GET", path, query=query))
        rest = b""
        try:
            while piece := self._runner.run(self._piece(answer)):
                *lines, rest = (rest + piece).split(b"\n")
                yield from (line.decode(errors="replace") for line in lines)
        finally:
            answer.close()

    def pieces(self, *path: object, **query: object) -> Iterator[bytes]:
        """What a POST answers, as it comes. Raises `Unreachable` when it was cut off."""
        answer = self._runner.run(self._open("POST", path, query=query))
        try:
            while piece := self._runner.run(self._piece(answer)):
                yield piece
        finally:
            answer.close()

    def close(self) -> None:
        if self._session is not None:
            self._runner.run(self._session.close())
        self._runner.close()

    async def _call(self, method: str, path: tuple[object, ...], body: object = None,
                    query: dict[str, object] | None = None) -> Any:  # fmt: skip
        answer = await self._open(method, path, body, query)
        try:
            return orjson.loads(await answer.read())
        except (OSError, aiohttp.ClientError) as error:
            raise self._unreachable(error) from None

    async def _open(self, method: str, path: tuple[object, ...], body: object = None,
                    query: dict[str, object] | None = None) -> aiohttp.ClientResponse:  # fmt: skip
        if self._session is None:
            connector = aiohttp.UnixConnector(str(self._socket))
            self._session = aiohttp.ClientSession(connector=connector, timeout=_TIMEOUT)
        url = URL("http://o8/api/v1" + "".join(f"/{quote(str(part), safe='')}" for part in path), encoded=True)
        data = None if body is None else orjson.dumps(body)
        try:
            answer = await self._session.request(method, url.update_query(_query(query or {})), data=data)
        except (OSError, aiohttp.ClientError) as error:
            raise self._unreachable(error) from None
        if answer.status >= 400:
            raise Refused(_problem(await answer.read()), answer.status)
        return answer

    async def _piece(self, answer: aiohttp.ClientResponse) -> bytes:
        try:
            return await answer.content.readany()
        except (OSError, aiohttp.ClientError) as error:
            raise self._unreachable(error) from None

    def _unreachable(self, error: Exception) -> Unreachable:
        if isinstance(error, PermissionError) or isinstance(error.__cause__, PermissionError):
            return Unreachable(f"You may not use {self._socket}.", "Ask as the user o8 runs as, or with sudo.")
        return Unreachable(
            f"o8 is not running: nobody answers on {self._socket}.",
            "`o8 serve` starts it; if it uses another folder, name that with --data-dir or O8_DATA_DIR.",
        )


def _query(values: dict[str, object]) -> dict[str, str]:
    """Only what was given; true and false as 1 and 0."""
    return {k: str(int(v) if isinstance(v, bool) else v) for k, v in values.items() if v not in (None, "")}


def _problem(body: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        found = None
    return found if isinstance(found, dict) else {"detail": body.decode(errors="replace")[:500]}
