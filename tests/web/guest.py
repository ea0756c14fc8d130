"""Somebody with a browser but without scripts: asks for pages, fills in their forms, follows where they lead."""

from __future__ import annotations

import html
import re
from html.parser import HTMLParser
from typing import NamedTuple
from urllib.parse import urlencode

import aiohttp
from multidict import CIMultiDictProxy

from tests.handlers.visiting import cookie
from tests.small_house import House


class Page(NamedTuple):
    status: int
    text: str
    headers: CIMultiDictProxy[str]

    @property
    def place(self) -> str:
        """Where the answer sends the browser."""
        return self.headers.get("Location", "")

    @property
    def words(self) -> str:
        """What a reader sees, without tags."""
        return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", self.text)))

    @property
    def links(self) -> set[str]:
        """Of links, and of forms that do something."""
        return set(re.findall(r'(?:<a [^>]*?href|<form [^>]*?method="post" action)="([^"]+)"', self.text))

    def values(self, action: str = "") -> dict[str, str]:
        """What the form with `action` would send as it is."""
        reader = _Forms()
        reader.feed(self.text)
        return reader.forms[action]


class Guest:
    """`csrf` is what o8's own pages know of the session."""

    def __init__(self, client: aiohttp.ClientSession, url: str, secret: str, csrf: str) -> None:
        self.client, self.url, self.csrf = client, url, csrf
        self.headers = cookie(secret) if secret else {}

    async def get(self, path: str, **headers: str) -> Page:
        async with self.client.get(self.url + path, headers=self.headers | headers, allow_redirects=False) as answer:
            return Page(answer.status, await answer.text(), answer.headers)

    async def post(self, path: str, came_from: str = "", csrf: str | None = None, **fields: str) -> Page:
        """Sends a form of the page `came_from`; `csrf` "": without the proof that it is one."""
        proof = self.csrf if csrf is None else csrf
        sent = {name.replace("__", "."): value for name, value in fields.items()} | ({"csrf": proof} if proof else {})
        headers = self.headers | ({"Referer": self.url + came_from} if came_from else {})
        headers |= {"Content-Type": "application/x-www-form-urlencoded"}
        async with self.client.post(
            self.url + path, data=urlencode(sent), headers=headers, allow_redirects=False
        ) as answer:
            return Page(answer.status, await answer.text(), answer.headers)

    async def then(self, answer: Page) -> Page:
        """The page that an answer leads to."""
        assert answer.status == 303, (answer.status, answer.words[:600])
        return await self.get(answer.place)


async def guest(house: House, client: aiohttp.ClientSession, url: str, name: str) -> Guest:
    """`name`, logged in; with an empty one somebody who is not."""
    if not name:
        return Guest(client, url, "", "")
    session, secret = await house.services.store.open_session(name, "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0")
    return Guest(client, url, secret, session.csrf)


class _Forms(HTMLParser):
    """What each form of a page would send, by its action; "" is one that posts to its own page."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: dict[str, dict[str, str]] = {}
        self._form: dict[str, str] = {}
        self._field, self._text = "", ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        name = found.get("name", "")
        if tag == "form":
            self._form = self.forms.setdefault(found.get("action", ""), {})
        elif tag == "input" and name and (found.get("type") != "checkbox" or "checked" in found):
            self._form[name] = found.get("value", "")
        elif tag in ("textarea", "select"):
            self._field, self._text = name, ""
        elif tag == "option" and ("selected" in found or self._field not in self._form):
            self._form[self._field] = found.get("value", "\0")
            self._text = ""

    def handle_data(self, data: str) -> None:
        self._text += data
        if self._form.get(self._field) == "\0":
            self._form[self._field] = data

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea":
            self._form[self._field] = self._text.removeprefix("\n")  # as browsers do
