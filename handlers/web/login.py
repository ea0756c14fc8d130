"""The way in and out, and one's own account: password, browsers, tokens."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from http import HTTPStatus

from aiohttp import web

from bot.errors import InvalidInput, LoginRefused, O8Error
from bot.permissions import Action
from handlers import auth
from handlers.access import ACCOUNT
from handlers.errors import Refusal, status_of
from handlers.web.routing import LOGIN, SAFE, Desk, Route, Visit, own, page
from handlers.web.sent import fields

_DAYS = {"": None, "7": 7, "30": 30, "90": 90, "365": 365}


async def show_login(desk: Desk, request: web.Request) -> web.StreamResponse:
    """The form; public."""
    return _login(desk, request, next_page=own(request.query.get("next", "")))


async def log_in(desk: Desk, request: web.Request) -> web.StreamResponse:
    """Public. A session that the browser brought is over: nobody can have set it for somebody else."""
    try:
        values = await fields(request)
    except InvalidInput as error:
        return _login(desk, request, next_page=own(""), error=error)
    name, password, next_page = values.get("username", ""), values.get("password", ""), own(values.get("next", ""))
    origin = request.headers.get("Origin", "")
    try:
        if origin and origin.partition("://")[2] != request.host:  # nobody is logged in as somebody else from outside
            raise Refusal(HTTPStatus.FORBIDDEN, "foreign_origin", "Log in on o8's own page.")
        found = await auth.caller(request, desk.services) if auth.cookie_name(request) in request.cookies else None
        address, agent = auth.address(request), auth.whole(request.headers.get("User-Agent", ""))
        _, secret = await desk.services.logins.open_session(name.strip(), password, address, agent)
    except O8Error as error:
        return _login(desk, request, next_page=next_page, error=error, username=name[:100])
    if found and found.session:
        await desk.services.store.close_session(found.session.id)
    answer = web.Response(status=HTTPStatus.SEE_OTHER, headers={"Location": next_page, **SAFE})
    answer.set_cookie(
        auth.cookie_name(request), secret, httponly=True, samesite="Lax", secure=auth.is_secure(request), path="/",
        max_age=30 * 86400,
    )  # fmt: skip
    return answer


async def log_out(visit: Visit) -> web.Response:
    await visit.form()
    if visit.session:
        await visit.services.store.close_session(visit.session.id)
    answer = web.Response(status=HTTPStatus.SEE_OTHER, headers={"Location": LOGIN})
    answer.del_cookie(auth.cookie_name(visit.request), path="/")
    return answer


async def account(visit: Visit, secret: str = "") -> web.Response:
    """One's own password, browsers and tokens; `secret` of a new token is shown this once."""
    store, username = visit.services.store, visit.person.username
    tokens = await store.tokens("" if visit.person.may(Action.ADMIN) else username)
    return visit.render("account.html", sessions=await store.sessions(username), tokens=tokens, secret=secret,
                        session_id=visit.session.id if visit.session else "")  # fmt: skip


async def change_password(visit: Visit) -> web.Response:
    values, username = await visit.form(), visit.person.username
    if values.get("password") != values.get("again"):
        raise InvalidInput("The two new passwords are not the same.", "Type them again.")
    address = auth.address(visit.request)
    try:
        await visit.services.logins.check(username, values.get("current", ""), address)
    except LoginRefused:  # who is logged in gets no login for it
        raise InvalidInput("That is not your password until now.", "Type it again, or ask an admin.") from None
    await visit.commands.set_password(username, values.get("password", ""))
    return visit.go(LOGIN)


async def add_token(visit: Visit) -> web.Response:
    values = await visit.form()
    days = _DAYS.get(values.get("days", ""))
    until = datetime.now(UTC) + timedelta(days=days) if days else None
    rights = [_right(line) for line in values.get("rights", "").splitlines() if line.strip()] or None
    username = visit.person.username
    _, secret = await visit.commands.add_token(username, values.get("name", ""), rights, until)
    return await account(visit, secret)


async def remove_token(visit: Visit) -> web.Response:
    values = await visit.form()
    id = values.get("id", "")
    token = await visit.commands.remove_token(int(id) if id.isdecimal() and len(id) < 19 else 0)
    return visit.go("/ui/account", f"The token {token.name} is worth nothing any more.")


async def close_sessions(visit: Visit) -> web.Response:
    """Logs out everywhere, here too."""
    await visit.form()
    await visit.services.store.close_sessions(visit.person.username)
    return visit.go(LOGIN)


def _right(line: str) -> tuple[Action, str]:
    action, _, scope = line.strip().partition(" ")
    if action not in set(Action):
        raise InvalidInput(f"There is no right {action!r:.40}.", f"One of {', '.join(Action)}, and its scope.")
    return Action(action), scope.strip() or "global"


def _login(desk: Desk, request: web.Request, *, next_page: str, error: O8Error | None = None,
           username: str = "") -> web.Response:  # fmt: skip
    status = status_of(error) if error else HTTPStatus.OK
    return page(desk, "login.html", status, person=None, csrf="", notices=[], path=request.path, error=error,
                next=next_page, username=username)  # fmt: skip


ROUTES = (
    Route("POST", "/ui/logout", log_out, ACCOUNT),
    Route("GET", "/ui/account", account, ACCOUNT),
    Route("POST", "/ui/account/password", change_password, ACCOUNT),
    Route("POST", "/ui/account/tokens", add_token, ACCOUNT),
    Route("POST", "/ui/account/tokens/remove", remove_token, ACCOUNT),
    Route("POST", "/ui/account/sessions/close", close_sessions, ACCOUNT),
)
