"""POST /slack/events over real HTTP, against people who are not Slack."""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path
from urllib.parse import urlencode

import aiohttp
import pytest
from pydantic import SecretStr

from handlers.slack import door
from lab.slack import FakeSlack, sign
from lab.waiting import until
from tests.slack.conftest import Office, office_in

pytestmark = pytest.mark.slow

CANARY = "canary-1b7e"
BODY = urlencode({"command": "/o8", "text": CANARY, "user_id": "U1", "team_id": "T1"}).encode()


def signed(office: Office, body: bytes, age: float = 0, secret: str = "") -> dict[str, str]:
    stamp = str(int(time.time() - age))
    signature = sign(secret or office.slack.signing_secret, stamp, body)
    return {"X-Slack-Request-Timestamp": stamp, "X-Slack-Signature": signature}


async def test_slack_itself_is_let_in(office: Office) -> None:
    """The control of everything below."""
    assert (await office.driver.url_verification("challenge-7")).body == '{"challenge": "challenge-7"}'


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Slack-Request-Timestamp": "soon"}, {"X-Slack-Request-Timestamp": ""}, {"X-Slack-Signature": ""},
        {"X-Slack-Signature": "v0=\u00e9"}, {"X-Slack-Signature": "v0=" + "0" * 64},
    ],
)  # fmt: skip
async def test_a_request_with_odd_headers_is_401(office: Office, headers: dict[str, str]) -> None:
    answer = await office.driver.raw(BODY, headers)
    assert answer.status == 401
    assert "next_step" in answer.body


async def test_without_a_signature_with_a_wrong_secret_or_late_it_is_401(office: Office) -> None:
    assert (await office.driver.raw(BODY, signs=False)).status == 401
    assert (await office.driver.raw(BODY, signed(office, BODY, secret="another"))).status == 401
    assert (await office.driver.raw(BODY, signed(office, BODY, age=301))).status == 401
    assert (await office.driver.raw(BODY, signed(office, BODY, age=-301))).status == 401


async def test_a_signed_body_that_is_no_text_is_401(office: Office) -> None:
    assert (await office.driver.raw(b"\xff\xfe\x00")).status == 401


async def test_a_body_that_was_changed_is_401(office: Office) -> None:
    assert (await office.driver.raw(BODY + b"x", signed(office, BODY))).status == 401


@pytest.mark.parametrize("body", [b"", b"{", b"payload=%7B", b"payload=[]", b"[1]", b"null", b"a=b", b"\x00"])
async def test_signed_nonsense_breaks_nothing(office: Office, body: bytes) -> None:
    for kind in ("application/json", "application/x-www-form-urlencoded", "text/plain"):
        assert (await office.driver.raw(body, {"Content-Type": kind})).status < 500


async def test_more_than_a_mebibyte_is_refused(office: Office) -> None:
    assert (await office.driver.raw(b"x" * (door.MOST_BYTES + 1))).status == 413


async def test_a_body_that_never_ends_is_cut_off(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "PATIENCE_S", 0.2)
    reader, writer = await asyncio.open_connection("127.0.0.1", office.settings.port)
    writer.write(b"POST /slack/events HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc")
    assert b" 408 " in await asyncio.wait_for(reader.readline(), 5)
    writer.close()


async def test_headers_that_bolt_would_believe_are_nothing_to_it(office: Office) -> None:
    """`X-Slack-Bolt-*` are bolt's own; from outside they are nobody's."""
    answer = await office.driver.raw(BODY, {"X-Slack-Bolt-Trust": "me"})
    assert answer.status == 200


async def test_without_a_signing_secret_the_address_is_off(slack: FakeSlack, tmp_path: Path) -> None:
    async with office_in(slack, tmp_path, slack_signing_secret=SecretStr("")) as office:
        stamp = str(int(time.time()))
        forged = {"X-Slack-Request-Timestamp": stamp, "X-Slack-Signature": sign("", stamp, BODY)}
        answer = await office.driver.raw(BODY, forged)
        assert answer.status == 503
        assert "SLACK_SIGNING_SECRET" in answer.body


async def test_no_body_is_ever_in_the_log(office: Office, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    await office.driver.raw(BODY, signs=False)
    await office.driver.raw(BODY)
    await office.driver.raw(f'{{"type": "event_callback", "event": {{"type": "{CANARY}"}}}}'.encode())
    await office.says(office.ada, f"lock web --nonsense {CANARY}")
    await office.says(office.ada, "whoami")
    product = [record for record in caplog.records if not record.name.startswith(("aiohttp", "asyncio", "slack_sdk"))]
    assert product
    assert not [record for record in product if CANARY in record.getMessage()]
    for secret in (office.slack.bot_token, office.slack.signing_secret):
        assert secret not in caplog.text


async def test_who_we_are_is_asked_once_and_not_with_each_request(office: Office) -> None:
    for _ in range(3):
        await office.says(office.ada, "whoami")

    async def asked() -> int:
        return sum(call.method == "auth.test" for call in office.slack.calls)

    assert await until(asked) == 1


async def test_alive_is_all_that_healthz_says(office: Office) -> None:
    async with aiohttp.request("GET", f"http://127.0.0.1:{office.settings.port}/healthz") as answer:
        assert (answer.status, await answer.json()) == (200, {"status": "ok"})


async def test_readiness_names_what_is_missing_and_slack_is_not_vital(office: Office) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{office.settings.port}/readyz") as answer,
    ):
        found = await answer.json()
    assert answer.status == 503
    assert (found["database"], found["slack"]) == ("ok", "ok")
    assert "Docker" in found["docker"]
