"""Who is calling, over real TCP: every way to log in, and every way in which that must fail."""

from __future__ import annotations

import asyncio
import base64
import random
from contextlib import suppress

import aiohttp
import pytest
from aiohttp.test_utils import make_mocked_request

from bot.permissions import GLOBAL, Action, Grant
from handlers import auth
from tests.handlers.visiting import (
    LONG_AGO,
    PASSWORD,
    WEB,
    Visitor,
    add_user,
    basic,
    bearer,
    session,
    sql,
    token,
)
from tests.small_house import House

pytestmark = pytest.mark.slow


# -- the ways in


async def test_each_way_in_is_the_same_person_with_a_name_of_its_own(house: House, visitor: Visitor) -> None:
    ways = {
        "user:ada": [basic("ada"), (await session(house, "ada"))[0]],
        "token:1": [bearer(await token(house))],
    }
    for actor, all_headers in ways.items():
        for headers in all_headers:
            found = (await visitor.ask("GET", "/me", headers)).body
            assert (found["actor"], found["username"], found["limits"]) == (actor, "ada", None)
            assert [(g["action"], g["scope"]) for g in found["grants"]] == [("deploy", WEB)]
            assert await visitor.status(headers, "/services/web") == 200
            assert await visitor.status(headers, "/services/shop") == 404
    status, found = await house.ask("GET", "/me")
    assert status == 200 and found["actor"].startswith("cli:") and found["grants"][0]["action"] == "admin"


async def test_without_a_login_nothing_is_told(visitor: Visitor) -> None:
    answer = await visitor.ask("GET", "/services/web")
    assert (answer.status, answer.code) == (401, "login_refused")
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="Orchestr8"'
    assert answer.body["detail"] == (await visitor.ask("GET", "/services/gone")).body["detail"]


async def test_what_is_for_everybody_needs_none(visitor: Visitor) -> None:
    for path in ("/../healthz", "/openapi.json"):
        assert await visitor.status(path=path) == 200
    assert (await visitor.ask("GET", "/../readyz")).body["database"] == "ok"


@pytest.mark.parametrize("scheme", ["basic", "BASIC", "bAsIc"])
async def test_the_name_of_the_scheme_is_in_whatever_case(house: House, visitor: Visitor, scheme: str) -> None:
    value = basic("ada")["Authorization"].partition(" ")[2]
    assert await visitor.status({"Authorization": f"{scheme} {value}"}) == 200
    assert await visitor.status({"Authorization": f"BeArEr {await token(house)}"}) == 200


@pytest.mark.parametrize("name", ["ADA", "Ada", "aDa"])
async def test_a_name_is_known_in_whatever_case_and_is_recorded_in_one(visitor: Visitor, name: str) -> None:
    assert (await visitor.ask("GET", "/me", basic(name))).body["actor"] == "user:ada"


@pytest.mark.parametrize("password", ["ünïcödé pässwörd 🔑", "with:colons:in:it", " spaces around ", "x" * 1024])
async def test_every_password_that_may_be_set_lets_in(house: House, visitor: Visitor, password: str) -> None:
    await house.services.logins.set_password("ada", password)
    assert await visitor.status(basic("ada", password)) == 200
    assert await visitor.status(basic("ada", password[:-1])) == 401


MALFORMED = {
    "no value": "Basic", "no value for bearer": "Bearer", "spaces": "Basic    ", "not base64": "Basic !!!!",
    "cut base64": "Basic YWRhO", "no colon": "Basic " + base64.b64encode(b"ada").decode(),
    "not utf-8": "Basic " + base64.b64encode(b"ada\xff:x\xfe").decode(), "only a colon": "Basic Og==",
    "zero bytes": "Basic " + base64.b64encode(b"ada\0:x\0").decode(), "other scheme": "Digest username=ada",
    "no scheme": "o8_abcdefgh", "two schemes": "Bearer Basic YWRhOng=", "base64 of urls": "Basic YWRhOng_-w==",
    "trailing": basic("ada")["Authorization"] + " x", "comma": basic("ada")["Authorization"] + ", Bearer x",
    "empty token": "Bearer  ", "a hash": "Bearer " + "0" * 64, "sql": "Bearer ' OR 1=1 --",
    "long": "Bearer " + "x" * 7000,
    "long name": "Basic " + base64.b64encode(b"a" * 5000 + b":x").decode(), "latin": "Bearer \xe4\xf6\xfc",
    "letters that are not ascii": "Basic \xe4\xf6\xfc=", "tab": "Basic\tYWRhOng=",
}  # fmt: skip


@pytest.mark.parametrize("value", MALFORMED.values(), ids=MALFORMED)
async def test_a_malformed_login_is_refused_even_beside_a_good_cookie(
    house: House, visitor: Visitor, value: str
) -> None:
    for more in ({}, (await session(house, "ada"))[0]):
        answer = await visitor.ask("GET", "/services/web", {"Authorization": value} | more)
        assert (answer.status, answer.code) == (401, "login_refused")


async def test_of_two_logins_in_one_request_only_the_first_counts(visitor: Visitor, house: House) -> None:
    """Proxies and o8 must not read them differently: the second is not taken when the first fails."""
    for first, status in ((bearer("o8_wrong"), 401), (basic("ada"), 200)):
        headers = [("Authorization", first["Authorization"]), ("Authorization", basic("root")["Authorization"])]
        async with visitor.client.get(f"{visitor.url}/api/v1/me", headers=headers) as answer:
            assert answer.status == status
            assert status == 401 or (await answer.json())["username"] == "ada"


# -- tokens


async def test_a_token_ends_when_it_is_removed_or_has_expired(house: House, visitor: Visitor) -> None:
    lasting, over = await token(house), await token(house, expires_at=LONG_AGO)
    assert [await visitor.status(bearer(each)) for each in (lasting, over)] == [200, 401]
    await house.services.store.remove_token(1)
    assert await visitor.status(bearer(lasting)) == 401


@pytest.mark.parametrize("change", [str.upper, lambda s: s[:-1], lambda s: s + "x", lambda s: s[3:], lambda s: s[::-1]])
async def test_a_token_that_is_nearly_right_is_wrong(house: House, visitor: Visitor, change: object) -> None:
    assert await visitor.status(bearer(change(await token(house)))) == 401  # type: ignore[operator]


async def test_a_token_may_what_both_it_and_its_owner_may(house: House, visitor: Visitor) -> None:
    narrow = bearer(await token(house, "ada", Grant(scope=WEB, action=Action.VIEW_STATUS)))
    vain = bearer(await token(house, "ada", Grant(scope=GLOBAL, action=Action.ADMIN)))
    wide = bearer(await token(house, "root", Grant(scope=WEB, action=Action.MANAGE)))
    lock = {"reason": "why"}
    for headers, is_locked, may_see_shop in ((narrow, 403, 404), (vain, 200, 404), (wide, 200, 404)):
        assert await visitor.status(headers, "/services/web") == 200
        assert await visitor.status(headers, "/services/shop") == may_see_shop
        assert (await visitor.ask("PUT", "/services/web/lock", headers, lock)).status == is_locked
        assert await visitor.status(headers, "/users") == 403
        await house.services.store.set_lock("web", None)
        assert [s["name"] for s in (await visitor.ask("GET", "/services", headers)).body] == ["web"]


async def test_a_token_makes_no_tokens_and_no_password(house: House, visitor: Visitor) -> None:
    """Else one that was lent for a day, or for little, would last for ever or do everything."""
    for grants in ((), (Grant(scope=GLOBAL, action=Action.VIEW_STATUS),)):
        secret = bearer(await token(house, "root", *grants))
        assert (await visitor.ask("POST", "/tokens", secret, {"name": "x"})).status == 403
    secret = bearer(await token(house, "ada", Grant(scope=WEB, action=Action.VIEW_STATUS)))
    wanted = {"password": "a new one of mine", "current": PASSWORD}
    assert (await visitor.ask("PUT", "/users/ada/password", secret, wanted)).status == 403
    assert await visitor.status(basic("ada")) == 200


async def test_who_asked_by_a_token_does_not_approve_it_by_another_way(house: House, visitor: Visitor) -> None:
    """Not even after the token was removed."""
    await house.add("web", follow={"auto_deploy": "approve"})
    secret = bearer(await token(house))
    asked = await visitor.ask("POST", "/services/web/deployments", secret, {"release": "0001"})
    assert (asked.status, asked.body["state"]) == (202, "waiting")
    approval = f"/deployments/{asked.body['id']}/approve"
    assert (await visitor.ask("POST", approval, basic("ada"))).status == 403
    assert (await visitor.ask("DELETE", "/tokens/1", basic("ada"))).status == 200
    assert (await visitor.ask("DELETE", "/tokens/1", basic("ada"))).status == 404
    assert (await visitor.ask("GET", "/tokens", basic("ada"))).body == []
    for way in (basic("ada"), bearer(await token(house)), (await session(house, "ada"))[1]):
        assert (await visitor.ask("POST", approval, way)).status == 403
    assert (await visitor.ask("POST", approval, basic("root"))).status == 200


async def test_one_sees_and_removes_ones_own_tokens_only(house: House, visitor: Visitor) -> None:
    for owner in ("ada", "bob"):
        await token(house, owner)
    listed = await visitor.ask("GET", "/tokens", basic("ada"))
    assert [each["username"] for each in listed.body] == ["ada"]
    hidden = await visitor.ask("DELETE", "/tokens/2", basic("ada"))
    absent = await visitor.ask("DELETE", "/tokens/3", basic("ada"))
    assert (hidden.status, hidden.body["detail"].replace("2", "3")) == (404, absent.body["detail"])
    assert len((await visitor.ask("GET", "/tokens", basic("root"))).body) == 2
    assert (await visitor.ask("DELETE", "/tokens/2", basic("root"))).status == 200
    assert "o8_" not in str(listed.body)


async def test_a_token_for_somebody_else_is_made_by_an_admin_only(visitor: Visitor) -> None:
    wanted = {"name": "ci", "username": "bob"}
    assert (await visitor.ask("POST", "/tokens", basic("ada"), wanted)).status == 403
    made = await visitor.ask("POST", "/tokens", basic("root"), wanted)
    assert (made.status, made.body["token"]["username"]) == (201, "bob")
    assert (await visitor.ask("GET", "/me", bearer(made.body["secret"]))).body["username"] == "bob"
    assert (await visitor.ask("POST", "/tokens", basic("root"), wanted | {"username": "gone"})).status == 404


# -- accounts that go, rights that go


async def test_a_user_who_is_removed_is_out_at_once_and_their_successor_gets_nothing(
    house: House, visitor: Visitor
) -> None:
    ways = [basic("ada"), (await session(house, "ada"))[0], bearer(await token(house))]
    assert [await visitor.status(way) for way in ways] == [200, 200, 200]
    await house.services.store.remove_user("ada")
    assert [await visitor.status(way) for way in ways] == [401, 401, 401]
    await add_user(house, "ada", (Action.ADMIN, GLOBAL), password="another password")
    assert [await visitor.status(way) for way in ways] == [401, 401, 401]


async def test_what_the_last_admin_of_the_settings_left_is_nobodys(house: House, visitor: Visitor) -> None:
    """AUTH_USERNAME was `boss` once; who is called so later does not get their tokens and sessions, nor they theirs."""
    ways = [(await session(house, "boss"))[0], bearer(await token(house, "boss"))]
    assert [await visitor.status(way) for way in ways] == [403, 403]
    await add_user(house, "boss", (Action.ADMIN, GLOBAL))
    assert [await visitor.status(way) for way in ways] == [401, 401]


async def test_who_is_deactivated_is_out_at_once(house: House, visitor: Visitor) -> None:
    ways = [basic("ada"), (await session(house, "ada"))[0], bearer(await token(house))]
    await sql(house, "UPDATE users SET is_active = 0 WHERE username = ?", "ada")
    assert [await visitor.status(way) for way in ways] == [401, 403, 403]


async def test_a_right_that_is_taken_is_gone_with_the_next_request(house: House, visitor: Visitor) -> None:
    ways = [basic("ada"), (await session(house, "ada"))[0], bearer(await token(house))]
    assert [await visitor.status(way, "/services/web") for way in ways] == [200, 200, 200]
    await house.services.store.revoke("ada", Action.DEPLOY, WEB)
    assert [await visitor.status(way, "/services/web") for way in ways] == [404, 404, 404]


# -- bodies


@pytest.mark.parametrize("body", [
    b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b'{"reason": "\\ud800"}', b"[" * 100_000, b'{"reason": NaN}',
    b"reason=why", b'{"reason": "why"', b"\0", b'{"reason": "why", "seconds": "60"}',
    b'{"reason": "why", "seconds": true}', b'{"reason": "why", "seconds": ' + b"9" * 5000 + b"}",
    b'{"reason": "why", "seconds": 60.0}', b'{"reason": 1}',
    b'{"reason": "why", "seconds": 1e999}', b'{"reason": "why", "seconds": ' + b"9" * 5000 + b".0}",
])  # fmt: skip
async def test_a_malformed_body_is_a_400_after_the_login_and_a_401_before_it(visitor: Visitor, body: bytes) -> None:
    url = "/services/web/lock"
    answer = await visitor.ask("PUT", url, basic("ada") | {"Content-Type": "application/json"}, data=body)
    assert (answer.status, answer.code) == (400, "invalid_input")
    assert (await visitor.ask("PUT", url, data=body)).status == 401


async def test_a_body_that_is_too_large_is_refused_and_unread_without_a_login(visitor: Visitor) -> None:
    large = b'{"reason": "' + b"x" * (3 * 1024 * 1024) + b'"}'
    answer = await visitor.ask("PUT", "/services/web/lock", basic("ada"), data=large)
    assert (answer.status, answer.code) == (413, "request_entity_too_large")
    with suppress(aiohttp.ClientConnectionError):  # the answer came, and the end, before all of it was sent
        assert (await visitor.ask("PUT", "/services/web/lock", data=large)).status == 401
    assert await visitor.status(basic("ada")) == 200


# -- where they call from


@pytest.mark.parametrize(("peer", "said", "address"), [
    ("127.0.0.1", (), "127.0.0.1"), ("127.0.0.1", ("192.0.2.1",), "192.0.2.1"),
    ("127.0.0.1", ("198.51.100.7, 192.0.2.1",), "192.0.2.1"), ("127.0.0.1", ("192.0.2.1,",), "127.0.0.1"),
    ("127.0.0.1", ("198.51.100.7", "192.0.2.1"), "192.0.2.1"), ("::1", ("2001:db8::1",), "2001:db8::1"),
    ("10.0.0.9", ("192.0.2.1",), "10.0.0.9"), ("172.17.0.2", ("127.0.0.1",), "172.17.0.2"),
    ("127.0.0.1", ("x" * 100,), "x" * 45), ("fe80::1%eth0", ("192.0.2.1",), "fe80::1%eth0"),
])  # fmt: skip
def test_a_forwarded_address_is_believed_from_this_machine_only(peer: str, said: tuple[str, ...], address: str) -> None:
    request = make_mocked_request("GET", "/")
    request = request.clone(remote=peer, headers=[("X-Forwarded-For", each) for each in said])
    assert auth.address(request) == address


@pytest.mark.parametrize(("peer", "is_secure"), [("127.0.0.1", True), ("10.0.0.9", False)])
def test_a_forwarded_scheme_is_believed_from_this_machine_only(peer: str, is_secure: bool) -> None:
    request = make_mocked_request("GET", "/").clone(remote=peer, headers={"X-Forwarded-Proto": "https"})
    assert auth.is_secure(request) is is_secure


# -- whatever a header holds


FRAGMENTS = [
    "Basic ", "Bearer ", "o8_", "YWRh", "Og==", "=", ":", ";", ",", '"', "'", " ", "\t", "%00", "%ff", "\\", "[", "]",
    "::1", "127.0.0.1", "http://", "https://", "//", "null", "*", "é", "\xff", "\x80", "9" * 40, "-1", "1e9", "0x", "٣",
    "x" * 500, "o8_session=", "__Host-o8_session=", "W/", "bytes=0-", "gzip", "chunked", "websocket", "Upgrade",
    "boundary=",
]  # fmt: skip
HEADERS = (
    "Authorization", "Cookie", "Origin", "Referer", "X-Forwarded-For", "X-Forwarded-Proto", "X-CSRF-Token",
    "Last-Event-ID", "Idempotency-Key", "Content-Type", "Accept", "Upgrade", "If-None-Match", "Range", "User-Agent",
    "Access-Control-Request-Method",
)  # fmt: skip


@pytest.mark.parametrize("request_", [
    b"GET /api/v1/me HTTP/1.1\r\nHost: o8\r\nAuthorization: Bearer o8_canary\0\r\n\r\n",
    b"GET /api/v1/me?token=o8_canary\xff HTTP/1.1\r\nHost: o8\r\n\r\n", b"o8_canary\r\n\r\n",
    b"\x16\x03\x01o8_canary\r\n\r\n", b"GET /o8_canary HTTP/9.9\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: o8\r\nContent-Length: o8_canary\r\n\r\n",
])  # fmt: skip
async def test_what_is_no_http_is_refused_and_not_logged(
    visitor: Visitor, request_: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(visitor.url.rpartition(":")[2]))
    writer.write(request_)
    assert (await reader.read()).startswith(b"HTTP/1.0 400 ")
    writer.close()
    assert "canary" not in caplog.text and not [r for r in caplog.records if r.levelname == "ERROR"]


@pytest.mark.parametrize("seed", range(8))
async def test_no_header_makes_a_fault(house: House, visitor: Visitor, seed: int) -> None:
    """Bytes as a hostile program sends them; made-up values on top of good logins, so that they come far."""
    chance = random.Random(seed)
    good = [basic("root"), (await session(house, "root"))[1], bearer(await token(house, "root")), {}]
    calls = (
        ("GET", "/me"), ("PUT", "/services/web/hold"), ("GET", "/services/gone/logs/events"), ("OPTIONS", "/me"),
        ("POST", "/../webhooks/github"), ("GET", "/../services"), ("POST", "/../ui/login"), ("GET", "/../ui/"),
        ("POST", "/../ui/services/web/lock"), ("POST", "/users"), ("GET", "/deployments/1/events"),
    )  # fmt: skip
    for _ in range(60):
        headers = dict(chance.choice(good))
        for name in chance.sample(HEADERS, chance.randint(1, 4)):
            value = "".join(chance.choices(FRAGMENTS, k=chance.randint(0, 4)))
            headers[name] = value.encode().decode("latin-1").strip()
        method, path = chance.choice(calls)
        answer = await visitor.ask(method, path, headers, data=chance.choice([None, b"{}", b"a=b", b"\xff{"]))
        assert answer.status < 500 or (path, answer.status) == ("/../webhooks/github", 503), (method, path, headers)
