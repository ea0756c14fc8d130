"""Stands before a real registry and spoils, for single repositories, what a real one cannot be made to spoil."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import aiohttp
from aiohttp import web

from lab.http_server import serving

_CHUNK = 64 * 1024
_KEPT = ("Content-Type", "Docker-Content-Digest", "WWW-Authenticate", "Docker-Distribution-Api-Version", "Link")


class Spoilt(NamedTuple):
    """What happens instead of the registry's answer: a status, or with status 0 the connection is cut."""

    status: int = 0
    headers: dict[str, str] = {}


class Manners(NamedTuple):
    """How layers arrive, also those under way. `bytes_per_s` 0: as fast as they can."""

    bytes_per_s: int = 0
    is_corrupt: bool = False
    is_cut: bool = False


class RegistryProxy:
    """At `address`. Only reading goes through it; images are pushed to the registry itself."""

    def __init__(self, upstream: str) -> None:
        self.address = ""
        self._upstream = upstream
        self._spoilt: defaultdict[str, deque[Spoilt]] = defaultdict(deque)
        self._always: dict[str, Spoilt] = {}
        self._manners: dict[str, Manners] = {}

    def spoil(self, repository: str, answer: Spoilt, times: int) -> None:
        """The next `times` requests for `repository` (such as `acme/web`) get `answer`."""
        self._spoilt[repository].extend([answer] * times)

    def spoil_always(self, repository: str, answer: Spoilt) -> None:
        """Every request for `repository`, until `heal`."""
        self._always[repository] = answer

    def behave(self, repository: str, manners: Manners) -> None:
        self._manners[repository] = manners

    def heal(self, repository: str) -> None:
        for faults in (self._spoilt, self._always, self._manners):
            faults.pop(repository, None)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        repository = request.path.removeprefix("/v2/").rpartition("/")[0].rpartition("/")[0]
        spoilt = self._spoilt[repository].popleft() if self._spoilt[repository] else self._always.get(repository)
        if spoilt is None:
            return await self._forward(request, repository)
        return web.Response(status=spoilt.status, headers=spoilt.headers) if spoilt.status else _cut(request)

    async def _forward(self, request: web.Request, repository: str) -> web.StreamResponse:
        sent = {name: request.headers[name] for name in ("Authorization", "Accept") if name in request.headers}
        url = f"http://{self._upstream}{request.path_qs}"
        async with aiohttp.ClientSession() as session, session.request(request.method, url, headers=sent) as found:
            kept = {name: found.headers[name] for name in _KEPT if name in found.headers}
            response = web.StreamResponse(status=found.status, headers=kept)
            response.content_length = found.content_length
            is_layer = "/blobs/" in request.path and (found.content_length or 0) > _CHUNK
            await response.prepare(request)
            async for chunk in found.content.iter_chunked(_CHUNK):
                manners = self._manners.get(repository, Manners()) if is_layer else Manners()
                if manners.is_cut:
                    return _cut(request)
                await response.write(bytes(len(chunk)) if manners.is_corrupt else chunk)
                if manners.bytes_per_s:
                    await asyncio.sleep(len(chunk) / manners.bytes_per_s)
            await response.write_eof()
            return response


def _cut(request: web.Request) -> web.StreamResponse:
    """Ends the connection; the answer is for nobody."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


@contextmanager
def registry_proxy(upstream: str) -> Iterator[RegistryProxy]:
    """A running one; `upstream` is the address of a registry."""
    proxy = RegistryProxy(upstream)
    application = web.Application()
    application.router.add_get("/{path:.*}", proxy.answer)  # with HEAD
    with serving(application) as address:
        proxy.address = address
        yield proxy
