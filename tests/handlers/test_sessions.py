"""Sessions over real TCP: how they begin and end, and what pages of others cannot do with them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from http.cookies import SimpleCookie
from urllib.parse import quote_plus

import aiohttp
import pytest

from bot.permissions import GLOBAL, Action
from tests.handlers.visiting import (
    ALLOWED,
    FOREIGN,
    LONG_AGO,
    PASSWORD,
    WEB,
    Answer,
    Visitor,
    basic,
    bearer,
    cookie,
    session,
    sql,
    token,
)
from tests.small_house import House

pytestmark = pytest.mark.slow


async def live_with_logs(house: House) -> None:
    """`web` runs, and ada may read its log."""
    await house.services.worker.start()
    await house.deployed("web")
    await house.services.store.grant("ada", Action.VIEW_LOGS, WEB, "o8")


# -- sessions


async def test_a_new_password_ends_the_sessions_and_the_old_password(house: House, visitor: Visitor) -> None:
    here, there = await session(house, "ada"), await session(house, "ada")
    other = (await session(house, "bob"))[0]
    assert await visitor.status(basic("ada")) == 200
    change = {"password": "a new one of mine", "current": PASSWORD}
    assert (await visitor.ask("PUT", "/users/ada/password", here[1], change)).status == 200
    assert [await visitor.status(way) for way in (here[0], there[0], basic("ada"))] == [401, 401, 401]
    assert [await visitor.status(way) for way in (basic("ada", "a new one of mine"), other)] == [200, 200]


async def test_who_finds_an_open_browser_cannot_set_its_owners_password(house: House, visitor: Visitor) -> None:
    _, writes = await session(house, "ada")
    for current in ({}, {"current": ""}, {"current": "a guess of mine"}):
        wanted = {"password": "a new one of mine"} | current
        assert (await visitor.ask("PUT", "/users/ada/password", writes, wanted)).status == 401
    assert await visitor.status(basic("ada")) == 200


async def test_the_originals_call_sets_a_password_for_who_sends_the_old_one_only(
    house: House, visitor: Visitor
) -> None:
    path, wanted = "/../api/change-password", {"password": "a new one of mine"}
    for way in ((await session(house, "ada"))[1], bearer(await token(house))):
        assert (await visitor.ask("POST", path, way, wanted)).status == 401
    assert (await visitor.ask("POST", path, basic("ada"), wanted)).status == 200
    assert await visitor.status(basic("ada", "a new one of mine")) == 200


async def test_the_name_behind_an_id_is_not_told(house: House, visitor: Visitor) -> None:
    """The original's list names services by ids; who may not see one and has its id learns nothing from it."""
    shop = next(s for s in (await visitor.ask("GET", "/../services", basic("root"))).body if s["name"] == "shop")
    for path in (f"/../services/{shop['id']}/logs", "/../services/0123456789ab/logs"):
        answer = await visitor.ask("GET", path, basic("ada"))
        assert answer.status == 404 and "shop" not in str(answer.body)


async def test_a_number_of_lines_that_is_none_is_refused(visitor: Visitor) -> None:
    for tail in ("0000000" + "9" * 5000, "x", "-1", "1000000", "%D9%A1"):
        answer = await visitor.ask("GET", f"/../services/web/logs?tail={tail}", basic("root"))
        assert (answer.status, answer.code) == (400, "invalid_input")


async def test_an_admin_of_one_service_does_not_learn_of_others_by_giving_rights(
    house: House, visitor: Visitor
) -> None:
    for scope in ("service:shop", GLOBAL):
        await house.services.store.grant("bob", Action.VIEW_LOGS, scope, "o8")
    await house.services.store.grant("ada", Action.ADMIN, WEB, "o8")
    given = await visitor.ask("POST", "/users/bob/grants", basic("ada"), {"action": "deploy", "scope": WEB})
    assert [(g["action"], g["scope"]) for g in given.body["grants"]] == [("deploy", WEB)]
    taken = await visitor.ask("DELETE", f"/users/bob/grants?action=deploy&scope={WEB}", basic("ada"))
    assert (taken.status, taken.body["grants"]) == (200, [])
    given = await visitor.ask("POST", "/users/bob/grants", basic("root"), {"action": "deploy", "scope": WEB})
    assert len(given.body["grants"]) == 3


async def test_nobody_but_an_admin_sets_anothers_password(visitor: Visitor) -> None:
    wanted = {"password": "a new one of mine", "current": PASSWORD}
    for name in ("bob", "BOB", "root", "admin", "gone"):
        answer = await visitor.ask("PUT", f"/users/{name}/password", basic("ada"), wanted)
        assert (answer.status, answer.code) == (403, "forbidden"), "the same for who is not there"
    assert (await visitor.ask("PUT", "/users/bob/password", basic("root"), wanted)).status == 200
    assert await visitor.status(basic("bob", "a new one of mine")) == 200
    assert (await visitor.ask("PUT", "/users/gone/password", basic("root"), wanted)).status == 404


async def test_a_session_ends_by_itself(house: House, visitor: Visitor) -> None:
    for change, time in (
        ("UPDATE sessions SET seen_at = ?", datetime.now(UTC) - timedelta(days=7)),
        ("UPDATE sessions SET expires_at = ?", LONG_AGO),
    ):
        reads = (await session(house, "ada"))[0]
        assert await visitor.status(reads) == 200
        await sql(house, change, time.isoformat())
        assert await visitor.status(reads) == 401


async def test_a_session_in_use_does_not_end_for_want_of_use(house: House, visitor: Visitor) -> None:
    reads = (await session(house, "ada"))[0]
    earlier = datetime.now(UTC) - timedelta(days=6, hours=23)
    await sql(house, "UPDATE sessions SET seen_at = ?", earlier.isoformat())
    assert await visitor.status(reads) == 200
    (found,) = await house.services.store.sessions("ada")
    assert datetime.now(UTC) - found.seen_at < timedelta(minutes=5)


async def test_a_cookie_that_was_set_before_the_login_is_worth_nothing_after_it(house: House, visitor: Visitor) -> None:
    """Session fixation: the secret of a session is made at the login, whatever the browser brought."""
    planted = "chosen-by-an-attacker"
    assert await visitor.status(cookie(planted)) == 401
    opened, secret = await house.services.logins.open_session("ada", PASSWORD, "192.0.2.1", "a browser")
    assert planted not in (secret, opened.id, opened.csrf)
    assert await visitor.status(cookie(planted)) == 401
    assert await visitor.status(cookie(secret)) == 200
    _, second = await house.services.logins.open_session("ada", PASSWORD, "192.0.2.1", "a browser")
    assert secret != second


async def log_in(visitor: Visitor, headers: dict[str, str] | None = None, **more: str) -> Answer:
    """By the form of the dashboard."""
    return await visitor.ask("POST", "/../ui/login", headers, data={"username": "ada", "password": PASSWORD} | more)


def set_cookies(answer: Answer) -> SimpleCookie:
    return SimpleCookie(answer.headers.get("Set-Cookie", ""))


async def test_the_login_sets_a_new_cookie_and_ends_the_session_that_came_with_it(
    house: House, visitor: Visitor
) -> None:
    before = (await session(house, "bob"))[0]
    for brought in (cookie("chosen-by-an-attacker"), before):
        answer = await log_in(visitor, brought)
        assert (answer.status, answer.headers["Location"]) == (303, "/ui/")
        secret = set_cookies(answer)["o8_session"].value
        assert f"o8_session={secret}" != brought["Cookie"]
        assert (await visitor.ask("GET", "/me", cookie(secret))).body["username"] == "ada"
        assert await visitor.status(brought) == 401


@pytest.mark.parametrize(("headers", "name", "is_secure"), [
    ({}, "o8_session", False), ({"X-Forwarded-Proto": "https"}, "__Host-o8_session", True),
])  # fmt: skip
async def test_the_cookie_is_for_o8_alone(
    visitor: Visitor, headers: dict[str, str], name: str, is_secure: bool
) -> None:
    (found,) = set_cookies(await log_in(visitor, headers)).values()
    assert (found.key, bool(found["secure"]), bool(found["httponly"])) == (name, is_secure, True)
    assert (found["samesite"], found["path"], found["domain"]) == ("Lax", "/", "")


async def test_a_login_from_another_page_or_with_a_wrong_password_sets_nothing(visitor: Visitor) -> None:
    """Else a page could log somebody in as its own user, and read what they enter."""
    for headers, more in (({"Origin": FOREIGN}, {}), ({"Origin": "null"}, {}), ({}, {"password": "wrong"}),
                          ({}, {"username": "gone"}), ({}, {"username": "", "password": ""})):  # fmt: skip
        answer = await log_in(visitor, headers, **more)
        assert answer.status in (401, 403) and not set_cookies(answer)
    assert (await log_in(visitor, {"Origin": visitor.url})).status == 303


async def test_the_form_is_slowed_down_like_everything_else(visitor: Visitor) -> None:
    answers = [(await log_in(visitor, password="wrong")).status for _ in range(6)]
    assert answers == [401] * 5 + [429]
    assert (await log_in(visitor)).status == 429


@pytest.mark.parametrize("target", [
    "https://evil.example.com", "//evil.example.com", "/\\evil.example.com", "/ui/\\..\\..//evil",
    "javascript:alert(1)",
    "/ui/\r\nSet-Cookie: x=y", "\t//evil.example.com", "/ui/../../evil", "http:evil", "", "/ui/login", "ui/", "[",
])  # fmt: skip
async def test_the_login_leads_to_pages_of_o8_only(visitor: Visitor, target: str) -> None:
    answer = await log_in(visitor, next=target)
    where = answer.headers["Location"]
    assert answer.status == 303 and where.startswith("/ui/") and len(answer.headers.getall("Set-Cookie")) == 1
    assert "evil" not in where or where == "/ui/../../evil", "a browser stays on this host with that"


async def test_who_logs_out_is_out(house: House, visitor: Visitor) -> None:
    reads, writes = await session(house, "ada")
    assert (await visitor.ask("POST", "/../ui/logout", reads, data={"csrf": "x"})).status == 403
    answer = await visitor.ask("POST", "/../ui/logout", reads, data={"csrf": writes["X-CSRF-Token"]})
    assert (answer.status, answer.headers["Location"]) == (303, "/ui/login")
    assert set_cookies(answer)["o8_session"].value == ""
    assert await visitor.status(reads) == 401


async def test_a_session_is_known_by_its_secret_only(house: House, visitor: Visitor) -> None:
    opened, _ = await house.services.store.open_session("ada", "a test")
    for wrong in (opened.id, opened.csrf, "", "x", "'", "ada", "\xe4", "x" * 4000):
        assert await visitor.status(cookie(wrong)) == 401


async def test_under_tls_only_the_cookie_with_the_prefix_counts(house: House, visitor: Visitor) -> None:
    _, secret = await house.services.store.open_session("ada", "a test")
    tls = {"X-Forwarded-Proto": "https"}
    assert await visitor.status(cookie(secret) | tls) == 401
    assert await visitor.status(cookie(secret, "__Host-o8_session") | tls) == 200
    assert await visitor.status(cookie(secret, "__Host-o8_session")) == 401


# -- other people's pages


async def test_a_write_with_a_cookie_alone_is_refused(house: House, visitor: Visitor) -> None:
    reads, writes = await session(house, "ada")
    lock = {"reason": "why"}
    other = (await session(house, "ada"))[1]["X-CSRF-Token"]
    for wrong in ({}, {"X-CSRF-Token": ""}, {"X-CSRF-Token": "x"}, {"X-CSRF-Token": other}, {"X-CSRF-Token": "\xe4"}):
        answer = await visitor.ask("PUT", "/services/web/lock", reads | wrong, lock)
        assert (answer.status, answer.code) == (403, "csrf")
    assert (await house.services.store.service("web")).lock is None
    assert (await visitor.ask("PUT", "/services/web/lock", writes, lock)).status == 200


NOT_OURS = [
    FOREIGN, "null", "http://", "http://[", "http://[::1", "x", "\xe4", "http://127.0.0.1", "http://localhost",
    "{own}.evil.example.com", "http://evil@{host}", "http://{host}:80", "http://{host}.", "http://{host}/x@evil",
]  # fmt: skip


@pytest.mark.parametrize("origin", NOT_OURS)
async def test_a_write_from_a_foreign_page_is_refused(house: House, visitor: Visitor, origin: str) -> None:
    host = visitor.url.removeprefix("http://")
    headers = {"Origin": origin.format(own=visitor.url, host=host)}
    for way in (basic("ada"), (await session(house, "ada"))[1]):
        answer = await visitor.ask("PUT", "/services/web/lock", way | headers, {"reason": "why"})
        if origin == "http://{host}/x@evil":  # a path in it changes nothing: it is our host
            assert answer.status in (200, 409)
        else:
            assert (answer.status, answer.code) == (403, "foreign_origin")
            assert (await house.services.store.service("web")).lock is None


async def test_o8s_own_pages_may_write_and_so_may_programs(house: House, visitor: Visitor) -> None:
    own, hold = {"Origin": visitor.url}, {"reason": "why"}
    for way in (basic("root"), (await session(house, "root"))[1], bearer(await token(house, "root"))):
        for origin in ({}, own):
            assert (await visitor.ask("PUT", "/services/web/hold", way | origin, hold)).status == 200


async def test_an_allowed_page_may_write_with_a_password_and_not_with_a_cookie(house: House, visitor: Visitor) -> None:
    """Its user typed the password there; the cookie came along by itself."""
    page, hold = {"Origin": ALLOWED}, {"reason": "why"}
    assert (await visitor.ask("PUT", "/services/web/hold", basic("root") | page, hold)).status == 200
    writes = (await session(house, "root"))[1]
    assert (await visitor.ask("PUT", "/services/web/hold", writes | page, hold)).code == "foreign_origin"


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_a_foreign_page_does_not_even_ask(house: House, visitor: Visitor, site: str) -> None:
    """An image or a link on it is enough for a GET; those of the services that o8 runs may be of the same site."""
    page = {"Sec-Fetch-Site": site}
    for way in (basic("root"), (await session(house, "root"))[0]):
        for path in ("/services", "/services/web/environment?values=1", "/../images/pull?image=x", "/../services"):
            answer = await visitor.ask("GET", path, way | page)
            assert (answer.status, answer.code) == (403, "foreign_origin"), path
    assert await visitor.status(basic("root") | page | {"Origin": ALLOWED}, "/services") == 200
    assert await visitor.status(bearer(await token(house, "root")) | page, "/services") == 200
    reads = (await session(house, "root"))[0]
    assert await visitor.status(reads | page | {"Origin": ALLOWED}, "/services") == 403
    assert await visitor.status(reads | page, "/../ui/") == 200, "links lead to the dashboard from everywhere"
    for own in ("same-origin", "none"):
        assert await visitor.status(reads | {"Sec-Fetch-Site": own}, "/services") == 200


@pytest.mark.parametrize(("origin", "status"), [(FOREIGN, 403), ("null", 403), (None, 101), ("own", 101)])
async def test_a_foreign_page_opens_no_socket(house: House, visitor: Visitor, origin: str | None, status: int) -> None:
    """Browsers let every page open a WebSocket to everywhere, and send the cookie along."""
    await live_with_logs(house)
    header = {} if origin is None else {"Origin": visitor.url if origin == "own" else origin}
    for way in ((await session(house, "ada"))[0], basic("ada")):
        url = f"{visitor.url}/api/v1/services/web/logs/ws"
        try:
            async with visitor.client.ws_connect(url, headers=way | header) as socket:
                assert status == 101
                await socket.close()
        except aiohttp.WSServerHandshakeError as refusal:
            assert refusal.status == status


async def test_a_socket_is_opened_from_an_allowed_page_with_a_password_only(house: House, visitor: Visitor) -> None:
    await live_with_logs(house)
    url = f"{visitor.url}/api/v1/services/web/logs/ws"
    async with visitor.client.ws_connect(url, headers=basic("ada") | {"Origin": ALLOWED}) as socket:
        await socket.close()
    with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
        await visitor.client.ws_connect(url, headers=(await session(house, "ada"))[0] | {"Origin": ALLOWED})
    assert refusal.value.status == 403
    for wrong in ({}, basic("ada", "a wrong password"), bearer("o8_x")):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
            await visitor.client.ws_connect(url, headers=wrong)
        assert refusal.value.status == 401


async def test_a_browser_that_calls_itself_by_bytes_of_no_charset_may_log_in(house: House, visitor: Visitor) -> None:
    """aiohttp hands such bytes on as half characters, which neither a database nor JSON takes."""
    body = f"username=ada&password={quote_plus(PASSWORD)}".encode()
    head = (
        b"POST /ui/login HTTP/1.1\r\nHost: o8\r\nConnection: close\r\nUser-Agent: \xff\xfe\r\n"
        b"X-Forwarded-For: \xff\xfe\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: "
    )
    port = int(visitor.url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head + str(len(body)).encode() + b"\r\n\r\n" + body)
    answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 303 "), answer
    assert len(await house.services.store.sessions("ada")) == 1
    assert (await house.services.store.audit())[0].action == "log in"
