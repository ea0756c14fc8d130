"""A caller from outside: HTTP over real TCP, with no cookie that a test did not name."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import aiohttp
import orjson
from multidict import CIMultiDictProxy
from sqlite_utils import Database

from bot.passwords import Passwords
from bot.permissions import Grant
from tests.small_house import House

PASSWORD = "correct horse battery"
ALLOWED, FOREIGN = "https://ops.example.org", "https://evil.example.com"  # origins of pages
WEB = "service:web"
LONG_AGO = datetime.now(UTC) - timedelta(seconds=1)
API = "/api/v1"


class Answer(NamedTuple):
    status: int
    body: Any  # of JSON, else bytes
    headers: CIMultiDictProxy[str]

    @property
    def code(self) -> str:
        """Of a problem; empty when all went well."""
        return str(self.body.get("code", "")) if isinstance(self.body, dict) else ""


class Visitor:
    """Asks one o8. `headers` say who is asking, see `basic`, `bearer` and `cookie`."""

    def __init__(self, client: aiohttp.ClientSession, url: str) -> None:
        self.client = client
        self.url = url

    async def ask(self, method: str, path: str, headers: Mapping[str, str] | None = None, body: Any = None,
                  data: Any = None) -> Answer:  # fmt: skip
        """One call of /api/v1, or of another path that begins with `/../`."""
        url = self.url + (path.removeprefix("/..") if path.startswith("/../") else API + path)
        async with self.client.request(
            method, url, headers=headers, json=body, data=data, allow_redirects=False
        ) as answer:
            raw = await answer.read()
            found = orjson.loads(raw) if raw and answer.content_type.endswith("json") else raw
            return Answer(answer.status, found, answer.headers)

    async def status(self, headers: Mapping[str, str] | None = None, path: str = "/me", method: str = "GET") -> int:
        return (await self.ask(method, path, headers)).status


@asynccontextmanager
async def visiting(house: House) -> AsyncIterator[Visitor]:
    """Knocks at a new door of `house`."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as client:
        yield Visitor(client, await house.open_to_all())


async def add_user(house: House, name: str, *rights: tuple[Any, str], password: str = PASSWORD) -> None:
    """Somebody who may log in."""
    words = Passwords()
    await house.services.store.add_user(name, await words.rehash(password), rights, "o8")
    words.close()


async def session(house: House, name: str) -> tuple[dict[str, str], dict[str, str]]:
    """A new session of `name`: headers for questions, and those for writes."""
    found, secret = await house.services.store.open_session(name, "a test")
    return cookie(secret), cookie(secret) | {"X-CSRF-Token": found.csrf}


async def token(house: House, owner: str = "ada", *grants: Grant, expires_at: datetime | None = None) -> str:
    """The secret of a new one; without `grants` it may all that its owner may."""
    return (await house.services.store.add_token(owner, "a test", grants or None, expires_at))[1]


async def sql(house: House, query: str, *values: str) -> None:
    """Changes what no call of o8 changes."""

    def work(db: Database) -> None:
        db.execute(query, values)

    await house.services.store.write(work)


def basic(name: str, password: str = PASSWORD) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def cookie(secret: str, name: str = "o8_session") -> dict[str, str]:
    return {"Cookie": f"{name}={secret}"}
