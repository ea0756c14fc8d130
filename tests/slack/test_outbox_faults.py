"""Whatever Slack does and wherever o8 is killed: exactly one message per card, and no card keeps another from Slack."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from bot.models import State
from bot.notifiers.slack.client import RateLimited, SlackClient, SlackError, TokenGone, Uncertain, Unsent
from bot.store import Store
from lab.http_server import serving
from lab.ports import free_port
from lab.slack.desk import Desk, broken_limits

pytestmark = pytest.mark.slow


class Crash(BaseException):
    """o8 is killed."""


STORE = ("due_cards", "card", "channel_of", "begin_post", "post_refused", "card_shown", "card_failed")
CLIENT = ("post", "update", "find")


class Fate:
    """Kills o8 at one of the calls that the outbox makes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls = 0
        self.at = 0
        self.names: list[str] = []
        for owner, names in ((Store, STORE), (SlackClient, CLIENT)):
            for name in names:
                monkeypatch.setattr(owner, name, self._deadly(name, getattr(owner, name)))

    def decide(self, at: int) -> None:
        """The kill is before (even) or after (odd) a call."""
        self.calls, self.at, self.names = 0, at, []

    def _deadly(self, name: str, real: Any) -> Any:
        async def call(*arguments: Any, **more: Any) -> Any:
            number, self.calls = self.calls, self.calls + 1
            self.names.append(name)
            if self.at == 2 * number:
                raise Crash
            answer = await real(*arguments, **more)
            if self.at == 2 * number + 1:
                raise Crash
            return answer

        return call


async def test_a_kill_at_any_point_of_a_post_leaves_exactly_one_card(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each round kills one point later, until a round ends without a kill."""
    fate, killed_at = Fate(monkeypatch), set()
    for at in itertools.count():
        fate.decide(at)
        await desk.deployed(tag=f"{at:04}", ending=State.FAILED)
        try:
            await desk.settle()
        except Crash:
            killed_at.add(fate.names[-1])
            fate.decide(-1)
            await desk.reopen()
            await desk.settle()
        else:
            break
    assert {"begin_post", "post", "card_shown"} <= killed_at
    assert Counter(desk.tags()) == {f"{number:04}": 1 for number in range(at + 1)}
    assert Counter(m.thread_ts for m in desk.threads()) == {card.ts: 1 for card in desk.cards()}


async def test_a_kill_while_a_lost_card_is_looked_for_makes_no_second_one(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    fate, killed_at = Fate(monkeypatch), set()
    for at in itertools.count():
        fate.decide(-1)
        desk.clock.now += 5
        desk.slack.drop_answers(1)
        await desk.deployed(tag=f"{at:04}")
        await desk.tick()
        fate.decide(at)
        try:
            await desk.settle()
        except Crash:
            killed_at.add(fate.names[-1])
            fate.decide(-1)
            await desk.reopen()
            await desk.settle()
        else:
            break
    assert {"find", "card_shown", "update"} <= killed_at
    assert Counter(desk.tags()) == {f"{number:04}": 1 for number in range(at + 1)}


async def test_without_the_note_before_a_post_a_kill_would_make_two(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control of the tests above."""
    fate = Fate(monkeypatch)

    async def nothing(*_: object) -> None:
        pass

    monkeypatch.setattr(Store, "begin_post", nothing)
    for at in range(12):
        fate.decide(at)
        await desk.deployed(tag=f"{at:04}")
        try:
            await desk.settle()
        except Crash:
            fate.decide(-1)
            await desk.reopen()
            await desk.settle()
    assert max(Counter(desk.tags()).values()) == 2


async def test_every_answer_lost_for_a_while_makes_no_second_card(desk: Desk) -> None:
    for tag in ("0001", "0002", "0003"):
        await desk.deployed(tag=tag)
    desk.slack.drop_answers(25)
    await desk.settle()
    assert Counter(desk.tags()) == {"0001": 1, "0002": 1, "0003": 1}
    assert len(desk.threads()) == 3


@pytest.mark.parametrize("trouble", ["ratelimited", "token_revoked", "fatal_error"])
async def test_trouble_while_a_lost_card_is_looked_for_makes_no_second_one(desk: Desk, trouble: str) -> None:
    desk.slack.drop_answers(1)
    await desk.want()
    await desk.tick()
    for method in ("conversations.history", "conversations.list"):
        desk.slack.fail(method, trouble)
    await desk.settle()
    assert desk.tags() == ["0001"]


async def test_slack_out_of_reach_after_a_lost_answer_makes_no_second_card(desk: Desk) -> None:
    desk.slack.drop_answers(1)
    await desk.want()
    await desk.tick()
    desk.client.web.base_url = f"http://127.0.0.1:{free_port()}/api/"
    await desk.wait(minutes=2)
    desk.client.web.base_url = desk.slack.url
    await desk.settle()
    assert desk.tags() == ["0001"]


async def test_while_slack_is_away_it_is_asked_ever_more_seldom_and_a_minute_apart_at_most(desk: Desk) -> None:
    await desk.deployed()
    desk.slack.down()
    tried: list[float] = []
    end = desk.clock.now + 600
    while desk.clock.now < end:
        before, at = len(desk.slack.bodies), desk.clock.now
        await desk.tick()
        tried += [at] * (len(desk.slack.bodies) - before)
    gaps = [later - earlier for earlier, later in itertools.pairwise(tried)]
    assert len(tried) < 20
    assert gaps[0] < 2
    assert all(40 < gap <= 61 for gap in gaps[7:])


async def test_a_card_that_slack_refuses_for_ever_keeps_no_other_waiting(desk: Desk) -> None:
    desk.slack.fail("chat.postMessage", "as_user_not_supported", times=1)
    await desk.want("0001")
    await desk.tick()
    begun = desk.clock.now
    await desk.add("api")
    await desk.deployed("api", "0002")
    await desk.tick()
    await desk.tick()
    assert desk.tags() == ["0002"]
    assert desk.clock.now < begun + 60
    await desk.settle()
    assert desk.tags() == ["0002", "0001"]


async def test_a_card_that_cannot_be_made_keeps_no_other_waiting(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    broken = await desk.deployed(tag="0001")
    await desk.deployed(tag="0002")
    await desk.store.write(
        lambda db: db.execute("UPDATE deployments SET kind = 'unheard of' WHERE id = ?", [broken.id])
    )
    await desk.wait(minutes=1)
    assert desk.tags() == ["0002"]
    assert f"The card deployment:{broken.id} cannot be made" in caplog.text


async def test_hundreds_of_cards_that_wait_hold_up_no_new_one(desk: Desk) -> None:
    await desk.store.write(
        lambda db: db.execute(
            """WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 600)
            INSERT INTO cards (kind, subject, not_before, changed_at)
            SELECT kind, 'old-' || i, CASE kind WHEN 'package' THEN '2100-01-01T00:00:00.000+00:00' END, '2026-01-01'
            FROM n, (SELECT 'package' AS kind UNION SELECT 'steps')"""
        )
    )
    await desk.deployed()
    for _ in range(4):
        await desk.tick()
    assert desk.tags() == ["0001"]
    assert len(desk.threads()) == 1


async def test_what_is_too_long_even_in_short_is_not_tried_all_the_time(desk: Desk) -> None:
    desk.slack.fail("chat.postMessage", "msg_too_long", times=1000)
    await desk.want()
    await desk.wait(minutes=10)
    assert len([call for call in desk.slack.calls if call.method == "chat.postMessage"]) < 8
    assert broken_limits(desk.slack) == []


async def test_steps_whose_thread_is_gone_are_not_told(desk: Desk) -> None:
    wanted = await desk.want()
    await desk.settle()
    await desk.store.claim("web")
    await desk.store.finish(wanted.id, State.SUCCEEDED)
    desk.slack.fail("chat.postMessage", "thread_not_found")
    await desk.settle(minutes=2)
    assert desk.threads() == []
    assert "is live" in desk.texts()[0]


async def test_a_log_that_cannot_be_uploaded_is_no_trouble_of_the_cards(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    wanted = await desk.want()
    await desk.store.claim("web")
    await desk.store.finish(wanted.id, State.FAILED, error="It exited.", log="line\n" * 2000, exit_code=1)
    desk.slack.fail("files.getUploadURLExternal", "fatal_error")
    await desk.settle()
    assert len(desk.threads()) == 1
    assert desk.outbox.trouble == ""
    assert f"web-{wanted.id}.log is not in Slack" in caplog.text


async def test_a_private_channel_that_o8_was_put_out_of_is_left_for_the_usual_one(desk: Desk) -> None:
    desk.slack.add_channel("team-web", is_private=True)
    await desk.store.set_channel("web", "#team-web")
    old = await desk.want("0001")
    await desk.settle()
    desk.slack.remove_bot("team-web")
    await desk.store.claim("web")
    await desk.store.finish(old.id, State.SUCCEEDED)
    await desk.deployed(tag="0002")
    await desk.settle()
    assert desk.tags() == ["0002"]
    assert desk.outbox.trouble == ""


async def test_a_channel_that_is_there_again_is_used_again(desk: Desk) -> None:
    desk.slack.add_channel("team-web")
    await desk.store.set_channel("web", "#team-web")
    desk.slack.archive("team-web")
    await desk.deployed(tag="0001")
    await desk.settle()
    assert desk.tags() == ["0001"]
    channel = desk.slack.channel("team-web")
    assert channel
    channel.is_archived = False
    await desk.wait(minutes=11)
    await desk.deployed(tag="0002")
    await desk.settle()
    assert desk.tags("team-web") == ["0002"]


ANSWERS = {
    "a_gateway_s_page": (502, "text/html", "<h1>Bad gateway</h1>", Uncertain),
    "a_captive_page": (200, "text/html", "<h1>Log in</h1>", Uncertain),
    "half_an_answer": (200, "application/json", '{"ok": tr', Uncertain),
    "an_error_of_slack_s_own": (500, "application/json", '{"ok": false, "error": "fatal_error"}', Uncertain),
    "no_object": (200, "application/json", '{"ok": false}', Uncertain),
    "too_much": (429, "application/json", '{"ok": false, "error": "ratelimited"}', RateLimited),
    "a_token_that_is_gone": (200, "application/json", '{"ok": false, "error": "token_revoked"}', TokenGone),
}


@pytest.mark.parametrize("name", ANSWERS)
async def test_every_answer_has_a_name(name: str) -> None:
    status, kind, text, expected = ANSWERS[name]

    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=status, text=text, content_type=kind, headers={"Retry-After": "7"})

    application = web.Application()
    application.add_routes([web.post("/api/{method}", answer)])
    with serving(application) as address:
        async with aiohttp.ClientSession() as session:
            client = SlackClient("xoxb-secret", f"http://{address}/api/", session)
            with pytest.raises(SlackError) as refusal:
                await client.identity()
    assert type(refusal.value) is expected
    assert "xoxb-secret" not in str(refusal.value)


async def test_slack_out_of_reach_means_that_nothing_was_sent() -> None:
    async with aiohttp.ClientSession() as session:
        with pytest.raises(Unsent):
            await SlackClient("xoxb-secret", f"http://127.0.0.1:{free_port()}/api/", session).identity()


async def test_an_answer_that_is_lost_makes_no_second_card(desk: Desk) -> None:
    desk.slack.drop_answers(1)
    await desk.deployed()
    await desk.settle()
    assert len(desk.cards()) == 1
    assert "is live" not in desk.texts()[0] or desk.cards()[0].ts


async def test_without_the_look_a_lost_answer_would_make_two(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control of the test above."""

    async def nothing(*_: object, **__: object) -> None:
        return None

    monkeypatch.setattr(SlackClient, "find", nothing)
    desk.slack.drop_answers(1)
    await desk.deployed()
    await desk.settle()
    assert len(desk.cards()) == 2


async def test_a_429_is_waited_for_as_long_as_slack_says(desk: Desk) -> None:
    desk.slack.rate_limit(90)
    await desk.deployed()
    begun = desk.clock.now
    await desk.settle()
    assert len([call for call in desk.slack.calls if call.status == 429]) == 1
    assert desk.clock.now >= begun + 90
    assert len(desk.cards()) == 1


async def test_a_revoked_token_silences_o8_and_says_what_to_do(desk: Desk) -> None:
    desk.slack.revoke_token()
    await desk.deployed()
    await desk.tick()
    assert "SLACK_BOT_TOKEN" in desk.outbox.trouble
    calls = len(desk.slack.calls)
    await desk.outbox.round()
    assert len(desk.slack.calls) <= calls + 1
    desk.slack.restore_token()
    await desk.settle()
    assert desk.outbox.trouble == ""
    assert len(desk.cards()) == 1


async def test_a_card_whose_channel_is_archived_goes_to_the_usual_one(desk: Desk) -> None:
    desk.slack.add_channel("team-web")
    await desk.store.set_channel("web", "#team-web")
    await desk.deployed(tag="0001")
    await desk.settle()
    assert desk.tags("team-web") == ["0001"]
    desk.slack.archive("team-web")
    await desk.deployed(tag="0002")
    await desk.settle()
    assert desk.tags() == ["0002"]


async def test_a_public_channel_that_o8_is_not_in_is_joined(desk: Desk) -> None:
    desk.slack.remove_bot("deployments")
    await desk.deployed()
    await desk.settle()
    assert len(desk.cards()) == 1


async def test_without_any_channel_cards_are_kept_and_that_is_said(desk: Desk) -> None:
    desk.slack.archive("deployments")
    await desk.deployed()
    for _ in range(5):
        await desk.tick()
    assert "SLACK_CHANNEL" in desk.outbox.trouble
    channel = desk.slack.channel("deployments")
    assert channel
    channel.is_archived = False
    await desk.settle()
    assert len(desk.cards()) == 1
    assert desk.outbox.trouble == ""
