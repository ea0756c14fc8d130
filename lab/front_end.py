"""The original's React front end as far as its server can tell: a page of another origin in a browser.

It keeps a server address and `btoa("user:password")`, sends them with every call, and has no cookies. As a browser
does, it asks first whether the page may (preflight) and shows the page no answer that does not name its origin.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import aiohttp
import orjson
from multidict import CIMultiDictProxy
from yarl import URL

ORIGIN = "https://panel.example.org"
POLL_S = 0.3  # it asks every few seconds; a test has no patience


class Blocked(Exception):
    """A browser would not let the page make this call, or read its answer."""


class Answer(NamedTuple):
    """`body` is of JSON, else text."""

    status: int
    body: Any
    headers: CIMultiDictProxy[str]

    @property
    def error(self) -> str:
        """What the page shows when a call failed; empty when it did not."""
        return str(self.body["error"]) if self.status >= 400 else ""


class FrontEnd:
    """One person at one browser. `server` such as `http://127.0.0.1:8080`."""

    def __init__(self, client: aiohttp.ClientSession, server: str, user: str, password: str,
                 origin: str = ORIGIN) -> None:  # fmt: skip
        self.client = client
        self.server = server
        self.origin = origin
        self.log_in(user, password)

    def log_in(self, user: str, password: str) -> None:
        """Nothing is asked of the server: the next call shows whether it was right."""
        self._token = base64.b64encode(f"{user}:{password}".encode()).decode()

    async def call(self, method: str, path: str, body: Any = None) -> Answer:
        """Raises `Blocked` where a browser would."""
        async with self._open(method, path, body) as answer:
            raw = await answer.read()
            is_json = answer.content_type.endswith("json")
            return Answer(answer.status, orjson.loads(raw) if is_json else raw.decode(), answer.headers)

    # -- services

    async def services(self) -> list[dict[str, Any]]:
        """The list as the page shows it; none where a person who is logged in may see none."""
        answer = await self.call("GET", "/services")
        return list(answer.body) if answer.status == 200 else []

    async def service(self, name: str) -> dict[str, Any]:
        """One row of the list; empty when it has none of that name."""
        return next((row for row in await self.services() if row["name"] == name), {})

    async def shows(self, name: str, is_so: Callable[[dict[str, Any]], bool], within_s: float = 30) -> dict[str, Any]:
        """The row of `name` once the list that is asked for again and again shows it so."""
        row: dict[str, Any] = {}
        try:
            async with asyncio.timeout(within_s):
                while not is_so(row):
                    await asyncio.sleep(POLL_S if row else 0)
                    row = await self.service(name)
        except TimeoutError:
            raise TimeoutError(f"still {row}") from None
        return row

    async def start(self, service: str, image: str = "", *, recreate: bool = False, **config: str) -> Answer:
        """`config` in its own words: `hostPort`, `memoryLimit`, ..."""
        wanted: dict[str, Any] = {"service": service, "recreate": recreate}
        if image:
            wanted["image"] = image
        if config:
            wanted["config"] = config
        return await self.call("POST", "/services/start", wanted)

    async def update(self, name: str) -> Answer:
        """The button "update": brings the first of the newest tags, with the configuration that the list shows."""
        row = await self.service(name)
        repository = row["image"].rpartition(":")[0]
        config = {key: value for key, value in row["config"].items() if key != "image"}
        return await self.start(name, f"{repository}:{row['latestImageTags'][0]}", recreate=True, **config)

    async def stop(self, name: str) -> Answer:
        return await self.call("POST", "/services/stop", {"service": name})

    async def restart(self, name: str) -> Answer:
        return await self.call("POST", "/services/restart", {"service": name})

    async def remove(self, name: str) -> Answer:
        return await self.call("DELETE", f"/services/{name}")

    async def env(self, name: str) -> Answer:
        return await self.call("GET", f"/services/{name}/env")

    async def save_env(self, name: str, content: str) -> Answer:
        return await self.call("POST", f"/services/{name}/env", {"content": content})

    @asynccontextmanager
    async def logs(self, id: str) -> AsyncIterator[AsyncIterator[str]]:
        """Lines as they come, until the block ends."""
        async with self._open("GET", f"/services/{id}/logs", None) as answer:
            if answer.status != 200:
                raise RuntimeError(f"{answer.status} {await answer.text()}")
            yield (line.decode().rstrip("\n") async for line in answer.content)

    async def pull(self, reference: str) -> list[str]:
        """What came, line by line. As the page does, `reference` is put into the address as it is."""
        async with self._open("GET", f"/images/pull?image={reference}", None) as answer:
            if answer.status != 200:
                raise RuntimeError(f"{answer.status} {await answer.text()}")
            return (await answer.text()).splitlines()

    # -- people

    async def users(self) -> Answer:
        return await self.call("GET", "/api/users")

    async def add_user(self, username: str, password: str, permissions: list[dict[str, str]]) -> Answer:
        body = {"username": username, "password": password, "permissions": permissions}
        return await self.call("POST", "/api/users", body)

    async def set_permissions(self, username: str, permissions: list[dict[str, str]]) -> Answer:
        return await self.call("PATCH", f"/api/users/{username}/permissions", {"permissions": permissions})

    async def remove_user(self, username: str) -> Answer:
        """With the blanks that it puts into this address."""
        return await self.call("DELETE", f"/%20api%20/%20users%20/%20{username}")

    async def change_password(self, password: str) -> Answer:
        return await self.call("POST", "/api/change-password", {"password": password})

    # -- what its browser does

    @asynccontextmanager
    async def _open(self, method: str, path: str, body: Any) -> AsyncIterator[aiohttp.ClientResponse]:
        url = URL(self.server + path, encoded=True)
        headers = {"Authorization": f"Basic {self._token}", "Origin": self.origin}
        if body is not None:
            headers["Content-Type"] = "application/json"
        await self._preflight(url, method, [name.lower() for name in headers if name != "Origin"])
        async with self.client.request(
            method, url, headers=headers, data=None if body is None else orjson.dumps(body), allow_redirects=False
        ) as answer:
            self._require_readable(answer)
            yield answer

    async def _preflight(self, url: URL, method: str, names: list[str]) -> None:
        """https://fetch.spec.whatwg.org/#cors-preflight-fetch: without a login, and only a 2xx lets the call pass."""
        asked = {
            "Origin": self.origin, "Access-Control-Request-Method": method,
            "Access-Control-Request-Headers": ",".join(sorted(names)),
        }  # fmt: skip
        async with self.client.options(url, headers=asked, allow_redirects=False) as answer:
            self._require_readable(answer)
            methods = _words(answer.headers.get("Access-Control-Allow-Methods", ""))
            allowed = _words(answer.headers.get("Access-Control-Allow-Headers", ""))
            if answer.status != 204 or (method.lower() not in methods | {"get", "post"}) or not allowed >= set(names):
                raise Blocked(f"{method} {url}: {answer.status} {dict(answer.headers)}")

    def _require_readable(self, answer: aiohttp.ClientResponse) -> None:
        found = answer.headers.getall("Access-Control-Allow-Origin", [])
        if found != [self.origin] or answer.headers.get("Access-Control-Allow-Credentials") != "true":
            raise Blocked(f"{answer.method} {answer.url}: {answer.status} {dict(answer.headers)}")


def _words(text: str) -> set[str]:
    return {word.strip().lower() for word in text.split(",")}


@asynccontextmanager
async def front_end(server: str, user: str, password: str) -> AsyncIterator[FrontEnd]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), timeout=aiohttp.ClientTimeout(120)) as client:
        yield FrontEnd(client, server, user, password)
