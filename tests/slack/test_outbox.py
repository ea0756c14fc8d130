"""However Slack behaves and however often o8 is killed: one message per card, in its true final state."""

from __future__ import annotations

import logging
import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.chat import CardKind
from bot.errors import NotFound
from bot.models import State
from bot.notifiers.slack.client import Posted, SlackClient
from bot.permissions import Action
from bot.store import packages
from lab.slack import screen
from lab.slack.desk import Desk, broken_limits, desk_in, walk
from lab.slack.limits import check_message

pytestmark = pytest.mark.slow


async def test_sixty_deployments_at_once_all_end_in_their_true_state_within_the_limits(tmp_path: Path) -> None:
    async with desk_in(tmp_path) as desk:
        names = [f"svc-{number}" for number in range(60)]
        for name in names:
            await desk.add(name)
        endings = await walk(desk, names, random.Random(7))
        await desk.settle()
        shown = {State.SUCCEEDED: "is live", State.FAILED: "failed", State.ROLLED_BACK: "taken back"}
        cards = {name: [text for text in desk.texts() if text.startswith(f"{name} 7 ")] for name in names}
        assert {name: len(found) for name, found in cards.items()} == dict.fromkeys(names, 1)
        for name, ending in endings.items():
            assert shown[ending] in cards[name][0]
        assert broken_limits(desk.slack) == []


async def test_slack_away_for_ten_minutes_and_two_kills_cost_nothing(tmp_path: Path) -> None:
    async with desk_in(tmp_path) as desk:
        names = [f"svc-{number}" for number in range(6)]
        for name in names:
            await desk.add(name)
        await walk(desk, names[:2], random.Random(1))  # some cards are there already
        desk.slack.down()
        await walk(desk, names[2:4], random.Random(2))
        await desk.wait(minutes=200 / 60)
        await desk.reopen()
        await walk(desk, names[4:], random.Random(3))
        await desk.wait(minutes=200 / 60)
        assert "Slack does not answer" in desk.outbox.trouble
        await desk.reopen()
        await desk.wait(minutes=200 / 60)
        desk.slack.up()
        await desk.settle()
        assert desk.outbox.trouble == ""
        assert Counter(text.split()[0] for text in desk.texts()) == Counter(names)
        assert not [text for text in desk.texts() if "being deployed" in text]
        assert broken_limits(desk.slack) == []


async def test_a_change_while_a_card_is_being_sent_is_sent_too(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = await desk.want()
    real = SlackClient.post

    async def slow(*arguments: Any, **more: Any) -> Posted:
        if (await desk.store.deployment(wanted.id)).state is State.QUEUED:
            await desk.store.claim("web")
        return await real(*arguments, **more)

    monkeypatch.setattr(SlackClient, "post", slow)
    await desk.settle()
    assert "being deployed" in desk.texts()[0]


async def test_a_message_that_somebody_deleted_is_posted_anew(desk: Desk) -> None:
    wanted = await desk.want()
    await desk.settle()
    desk.slack.delete_message(desk.cards()[0])
    await desk.store.claim("web")
    await desk.store.finish(wanted.id, State.FAILED, error="It exited.")
    await desk.settle()
    assert len(desk.cards()) == 1
    assert "failed" in desk.texts()[0]


async def test_what_slack_finds_too_long_is_said_in_short(desk: Desk) -> None:
    desk.slack.fail("chat.postMessage", "msg_too_long")
    await desk.deployed()
    await desk.settle()
    assert len(desk.cards()) == 1
    assert len(desk.cards()[0].blocks) >= 1


async def test_the_steps_are_in_the_thread_and_only_trouble_is_shown_outside_of_it(desk: Desk) -> None:
    await desk.deployed(tag="0001")
    await desk.deployed(tag="0002", ending=State.FAILED)
    await desk.settle()
    threads = desk.threads()
    assert [(m.is_broadcast, "pulling" in screen.as_text(m)) for m in threads] == [(False, True), (True, True)]
    assert {m.thread_ts for m in threads} == {card.ts for card in desk.cards()}


async def test_a_long_log_comes_as_a_file_in_the_thread(desk: Desk) -> None:
    wanted = await desk.want()
    await desk.store.claim("web")
    await desk.store.enter(wanted.id, State.CHECKING, "b")
    log = "\n".join(f"line {number}" for number in range(2000))
    await desk.store.finish(wanted.id, State.FAILED, error="It exited.", log=log, exit_code=1)
    await desk.settle()
    file = next(iter(desk.slack.files.values()))
    assert file.content.decode().splitlines() == log.splitlines()
    assert file.thread_ts == desk.cards()[0].ts


async def test_mutes_drop_what_goes_well_and_keep_trouble_for_later(desk: Desk) -> None:
    await desk.store.mute("web", datetime.fromtimestamp(desk.clock.now, UTC) + timedelta(hours=1))
    await desk.deployed(tag="0001")
    await desk.deployed(tag="0002", ending=State.FAILED)
    for _ in range(5):
        await desk.tick()
    assert desk.cards() == []
    desk.clock.now += 3600
    await desk.settle()
    assert desk.tags() == ["0002"]


async def test_quiet_hours_tell_trouble_at_once_and_the_rest_in_the_morning(tmp_path: Path) -> None:
    async with desk_in(tmp_path) as desk:
        desk.clock.now = datetime(2027, 1, 10, 23, 0, tzinfo=UTC).timestamp()
        desk.quiet = "22:00-07:00"
        await desk.reopen()
        await desk.add()
        await desk.deployed(tag="0001")
        await desk.deployed(tag="0002", ending=State.FAILED)
        for _ in range(8):
            await desk.tick()
        assert desk.tags() == ["0002"]
        desk.clock.now = datetime(2027, 1, 11, 7, 0, 1, tzinfo=UTC).timestamp()
        await desk.settle()
        assert desk.tags() == ["0002", "0001"]


async def test_a_wish_for_a_right_has_a_card_that_shows_who_decided(desk: Desk) -> None:
    await desk.store.add_user("ada")
    id = await desk.store.request_access("ada", "slack:T1:U1", Action.DEPLOY, "service:web", "on call")
    await desk.settle()
    assert "[Grant]" in desk.texts()[0]
    await desk.store.decide_request(id, "cli:root", is_granted=True)
    await desk.settle()
    assert "granted by root" in desk.texts()[0]
    assert "[Grant]" not in desk.texts()[0]
    assert len(desk.cards()) == 1


async def test_no_card_is_one_that_slack_refuses_and_no_token_is_logged(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    desk.slack.fail("chat.postMessage", "fatal_error")
    for tag, ending in enumerate([State.SUCCEEDED, State.FAILED, State.ROLLED_BACK, State.NEEDS_ATTENTION]):
        await desk.deployed(tag=f"000{tag}", ending=ending)
    await desk.settle()
    for message in desk.slack.messages("deployments"):
        assert check_message({"text": message.text, "blocks": message.blocks}) == []
    assert desk.slack.bot_token not in caplog.text


async def test_a_new_package_has_a_card_until_somebody_decided(desk: Desk) -> None:
    image = "ghcr.io/acme/new"
    await desk.store.write(lambda db: packages.seen(db, image, "0001", "sha256:" + 64 * "0"))
    await desk.settle()
    assert "new" in desk.texts()[0]
    assert "[Install" in desk.texts()[0]
    await desk.store.dismiss_package(image)
    await desk.settle()
    assert len(desk.cards()) == 1
    assert "[Install" not in desk.texts()[0]


async def test_the_end_of_a_mute_tells_at_once_what_it_kept_back(desk: Desk) -> None:
    await desk.store.mute("web", datetime.fromtimestamp(desk.clock.now, UTC) + timedelta(hours=8))
    await desk.deployed(tag="0001", ending=State.FAILED)
    await desk.wait(minutes=5)
    assert desk.cards() == []
    await desk.store.mute("web", None)
    await desk.settle(minutes=1)
    assert desk.tags() == ["0001"]


async def test_what_turns_into_trouble_at_night_is_told_within_a_minute_or_so(tmp_path: Path) -> None:
    async with desk_in(tmp_path) as desk:
        desk.clock.now = datetime(2027, 1, 10, 23, 0, tzinfo=UTC).timestamp()
        desk.quiet = "22:00-07:00"
        await desk.reopen()
        await desk.add()
        wanted = await desk.want()
        await desk.wait(minutes=5)
        assert desk.cards() == []
        await desk.store.claim("web")
        await desk.store.finish(wanted.id, State.FAILED, error="It exited.")
        await desk.wait(minutes=1.2)
        assert "failed" in desk.texts()[0]


async def test_only_what_is_valid_now_has_a_button(desk: Desk) -> None:
    await desk.deployed(tag="0001", ending=State.FAILED)
    await desk.settle()
    assert "[Retry]" in desk.texts()[0]
    await desk.deployed(tag="0002", ending=State.FAILED)
    await desk.settle()
    assert ["[Retry]" in text for text in desk.texts()] == [False, True]
    await desk.store.forget_service("web")
    await desk.settle()
    assert not any("[" in text.replace("[o8]", "") for text in desk.texts())


async def test_a_card_of_nothing_is_not_there(desk: Desk) -> None:
    with pytest.raises(NotFound):
        await desk.store.card(CardKind.DEPLOYMENT, "99")
