"""Who is calling over HTTP: by the kernel's word on the Unix socket, a token, a name and password, or a session's cookie.

One function (`Gate.caller`) for API, dashboard, streams and WebSockets. What callers may do is `bot.authority`'s.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from aiohttp import web

from bot.accounts import Session
from bot.passwords import Passwords
from bot.settings import Settings
from bot.store import Store

COOKIE = "o8_session"


class Caller(NamedTuple):
    """`actor` is how history names them: `cli:root`, `user:ada`, `token:3`. `session` is a browser's."""

    actor: str
    way: Literal["socket", "basic", "token", "session"]
    session: Session | None = None


class Gate:
    def __init__(self, store: Store, passwords: Passwords, settings: Settings) -> None: ...

    async def caller(self, request: web.Request) -> Caller | None:
        """Who is calling; None when the request does not say. Raises `Refusal` 401 when what it says is wrong, 429
        when that happened too often."""
        raise NotImplementedError

    async def login(self, username: str, password: str, request: web.Request) -> tuple[Session, str]:
        """A new session and the secret of its cookie. Raises as `caller`."""
        raise NotImplementedError

    async def logout(self, caller: Caller) -> None:
        """Ends the session of a browser."""
        raise NotImplementedError
