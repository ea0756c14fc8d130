"""Who is calling over HTTP: by the kernel's word on the Unix socket, a token, a name and password, a session's cookie.

One way for API, dashboard, streams and WebSockets. What callers may do is `bot.authority`'s.
"""

from __future__ import annotations

import base64
import binascii
import pwd
import socket
import struct
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hmac import compare_digest
from http import HTTPStatus
from ipaddress import ip_address
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from bot.accounts import Session
from bot.errors import LoginRefused, StoreUnavailable, TooManyTries
from bot.services import Services
from handlers.errors import Refusal

_CREDENTIALS = struct.Struct("iII")  # struct ucred, unix(7): pid, uid, gid
_SAFE = ("GET", "HEAD", "OPTIONS")
_LOOKED_IN = timedelta(minutes=5)  # how exactly a session knows when it was last used
CSRF_HEADER = "X-CSRF-Token"
ORIGINS = web.AppKey("origins", tuple[str, ...])  # that may call the API


class Caller(NamedTuple):
    """`actor` is how history names them: `cli:root`, `user:ada`, `token:3`. `session` is a browser's."""

    actor: str
    way: Literal["socket", "basic", "token", "session"]
    session: Session | None = None


class Login(NamedTuple):
    """With which a request began that may be answered for long."""

    services: Services
    caller: Caller

    async def has_ended(self, request: web.Request) -> bool:
        """Whether it is worth nothing any more: logged out, the token or the user removed, another password."""
        if self.caller.way == "socket":
            return False
        try:
            found = await caller(request, self.services)
        except (StoreUnavailable, TooManyTries):  # nobody knows
            return False
        except LoginRefused:
            return True
        return found is None or found.actor != self.caller.actor


LOGIN = web.RequestKey("login", Login)


async def caller(request: web.Request, services: Services) -> Caller | None:
    """Who is calling; None when the request does not say.

    Raises `LoginRefused` when what it says is wrong, `TooManyTries` when that happened too often.
    """
    if name := _on_the_socket(request):
        return Caller(f"cli:{name}", "socket")
    kind, _, value = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    if kind.lower() == "bearer":
        token = await services.store.token_of(value.strip())
        if token is None:
            raise LoginRefused("This token is not valid (any more).", "`o8 token add` makes a new one.")
        return Caller(f"token:{token.id}", "token")
    if kind.lower() == "basic":
        name, password = _name_and_password(value)
        username = await services.logins.check(name, password, address(request))
        return Caller(f"user:{username}", "basic")
    if kind:
        raise LoginRefused("Only Bearer and Basic are understood.", "Such as `Authorization: Bearer o8_...`.")
    return await _by_cookie(request, services)


def refuse_foreign(request: web.Request, found: Caller, *, by_form: bool) -> None:
    """Raises 403 when another page makes the browser of somebody who is logged in do something.

    Browsers send cookies and remembered passwords along; `Origin` and `Sec-Fetch-Site` they do not let pages forge.
    Even questions are refused (one of the original's pulls an image), as pages of the services that o8 runs may be of
    the same site. But links lead to the dashboard from everywhere. `by_form`: it is a page of that, and the proof that
    a write is o8's own is a field of the form, which its handler looks at.
    https://cheatsheetseries.owasp.org/cheatsheets/Cross-Site_Request_Forgery_Prevention_Cheat_Sheet.html
    """
    is_socket = request.headers.get(hdrs.UPGRADE, "").lower() == "websocket"
    if found.way in ("socket", "token"):
        return
    is_write = request.method not in _SAFE or is_socket
    origin = request.headers.get(hdrs.ORIGIN, "")
    is_own = _host_of(origin) == request.host
    is_allowed = found.way == "basic" and origin in request.config_dict[ORIGINS]
    is_elsewhere = request.headers.get("Sec-Fetch-Site", "") in ("cross-site", "same-site") and not by_form
    if ((origin and is_write) or is_elsewhere) and not is_own and not is_allowed:
        whose = f"{origin!r:.80}" if origin else "other sites"
        raise Refusal(
            HTTPStatus.FORBIDDEN, "foreign_origin", f"Pages of {whose} may not do this.",
            "ALLOWED_ORIGINS names those that may call the API.",
        )  # fmt: skip
    if found.session is not None and is_write and not is_socket and not by_form:
        require_csrf(found.session, request.headers.get(CSRF_HEADER, ""))


def require_csrf(session: Session, given: str) -> None:
    """Raises 403 unless `given` is what only o8's own pages know."""
    if not compare_digest(session.csrf.encode(), given.encode(errors="replace")):
        raise Refusal(
            HTTPStatus.FORBIDDEN, "csrf", "This request did not come from o8's own page.",
            "Load the page again and repeat.",
        )  # fmt: skip


def is_secure(request: web.Request) -> bool:
    """Whether the browser speaks TLS, with o8 or with the nginx before it."""
    return request.secure or (_is_local(request.remote) and request.headers.get("X-Forwarded-Proto") == "https")


def cookie_name(request: web.Request) -> str:
    """Under TLS with a prefix that binds it to this host: https://developer.mozilla.org/docs/Web/HTTP/Cookies."""
    return "__Host-o8_session" if is_secure(request) else "o8_session"


def address(request: web.Request) -> str:
    """Where the caller is. Of an nginx on this machine, the one that it says it saw: the last of all.

    Other proxies put it into a header line of its own, behind what the caller sent.
    """
    seen = whole(",".join(request.headers.getall("X-Forwarded-For", ())).rpartition(",")[2].strip())
    return seen[:45] if seen and _is_local(request.remote) else request.remote or ""


def whole(text: str) -> str:
    """A header as database and JSON take it: bytes that are no UTF-8 come as halves of characters."""
    return text.encode(errors="replace").decode()


async def _by_cookie(request: web.Request, services: Services) -> Caller | None:
    secret = request.cookies.get(cookie_name(request))
    session = await services.store.session_of(secret) if secret else None
    if session is None:
        return None
    if datetime.now(UTC) - session.seen_at > _LOOKED_IN:
        await services.store.touch_session(session.id)
    return Caller(f"user:{session.username}", "session", session)


def _name_and_password(value: str) -> tuple[str, str]:
    with suppress(binascii.Error, UnicodeDecodeError, ValueError):
        name, colon, password = base64.b64decode(value.strip(), validate=True).decode().partition(":")
        if colon:
            return name, password
    raise LoginRefused("This is no Basic login.", "It is the Base64 of `name:password`.")


def _on_the_socket(request: web.Request) -> str:
    """The name, or number, of the user at the other end of the Unix socket; empty over TCP."""
    connection = request.get_extra_info("socket")
    if connection is None or connection.family != socket.AF_UNIX:
        return ""
    found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return _name_of(_CREDENTIALS.unpack(found)[1])


@lru_cache(maxsize=256)
def _name_of(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)


def _host_of(origin: str) -> str:
    """With its port; empty for `null`, and for what is no origin."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


def _is_local(remote: str | None) -> bool:
    try:
        return not remote or ip_address(remote).is_loopback
    except ValueError:
        return False
