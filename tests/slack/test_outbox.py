"""However Slack behaves and however often o8 is killed: one message per card, in its true final state."""

from __future__ import annotations

import itertools
import logging
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from bot.chat import CardKind
from bot.configuration import read
from bot.errors import NotFound
from bot.models import Deployment, Kind, State, Wanted
from bot.notifiers.slack.cards import render
from bot.notifiers.slack.client import Posted, SlackClient
from bot.notifiers.slack.outbox import Outbox
from bot.notifiers.slack.quiet import QuietHours
from bot.permissions import Action
from bot.store import Store
from lab.slack import FakeSlack, SlackMessage, fake_slack, screen
from lab.slack.limits import check_message

STEPS = (State.PULLING, State.STARTING, State.CHECKING, State.SWITCHING)


class Clock:
    """Runs when it is told to, from the present on."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


class Crash(BaseException):
    """o8 is killed."""


class Desk:
    """A store, a Slack and an outbox between them, with a clock that is fake."""

    def __init__(self, folder: Path, slack: FakeSlack, clock: Clock, session: aiohttp.ClientSession) -> None:
        self.folder = folder
        self.slack = slack
        self.clock = clock
        self.session = session
        self.quiet = ""
        self.store: Store
        self.outbox: Outbox

    async def open(self) -> Desk:
        """As o8 starts."""
        self.store = await Store.open(self.folder / "o8.sqlite")
        self.client = SlackClient(self.slack.bot_token, self.slack.url, self.session)
        self.outbox = Outbox(self.store, self.client, render, "#deployments", QuietHours.read(self.quiet), self.clock)
        return self

    async def reopen(self) -> None:
        """As after a kill: nothing is left but the database."""
        await self.store.close()
        await self.open()

    async def add(self, name: str = "web") -> None:
        await self.store.apply(read({"name": name, "image": f"ghcr.io/acme/{name}", "port": 80}), 1000)

    async def deployed(self, name: str = "web", tag: str = "0001", ending: State = State.SUCCEEDED) -> Deployment:
        """A whole deployment, without a look at Slack."""
        wanted = await self.store.want(Wanted(service=name, kind=Kind.DEPLOY, actor="cli:root", tag=tag))
        await self.store.claim(name)
        await self.store.enter(wanted.id, State.PULLING, "b")
        return await self.store.finish(wanted.id, ending, error="It exited." if ending is State.FAILED else "")

    async def settle(self, minutes: float = 30) -> None:
        """Until every card shows what is true; fails when that takes longer."""
        end = self.clock.now + 60 * minutes
        while await self.store.due_cards():
            assert self.clock.now < end, f"cards are left: {await self.store.due_cards()}"
            await self.tick()

    async def tick(self) -> None:
        """What may be sent now is sent; then the clock goes on to when something may be sent again."""
        pause = await self.outbox.round()
        self.clock.now += min(max(pause, 0.01), 61)

    def cards(self, channel: str = "deployments") -> list[SlackMessage]:
        return [m for m in self.slack.messages(channel) if not m.thread_ts]

    def texts(self, channel: str = "deployments") -> list[str]:
        return [screen.as_text(card) for card in self.cards(channel)]


@asynccontextmanager
async def desk_in(folder: Path, *, quiet: str = "") -> AsyncIterator[Desk]:
    clock = Clock()
    async with fake_slack(clock) as slack, aiohttp.ClientSession() as session:
        desk = Desk(folder, slack, clock, session)
        desk.quiet = quiet
        await desk.open()
        yield desk
        await desk.store.close()


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with desk_in(tmp_path) as desk:
        await desk.add()
        yield desk


def assert_within_limits(desk: Desk) -> None:
    """As counted by the one who was called."""
    updates = [call.at for call in desk.slack.calls if call.method == "chat.update"]
    assert all(sum(start <= at < start + 60 for at in updates) <= 50 for start in updates)
    posts = sorted(call.at for call in desk.slack.calls if call.method == "chat.postMessage")
    assert all(later - earlier >= 1 for earlier, later in itertools.pairwise(posts))
    assert not [call for call in desk.slack.calls if call.status == 429]


async def walk(desk: Desk, names: list[str], dice: random.Random) -> dict[str, State]:
    """Deploys all at once; each goes its way while cards are sent. Returns how each has ended."""
    ids = {n: (await desk.store.want(Wanted(service=n, kind=Kind.DEPLOY, actor="poller", tag="7"))).id for n in names}
    for name in names:
        await desk.store.claim(name)
    for state in STEPS:
        for name in dice.sample(names, len(names)):
            await desk.store.enter(ids[name], state, "b")
            if dice.random() < 0.3:
                await desk.tick()
    endings = {}
    for name in names:
        endings[name] = dice.choice([State.SUCCEEDED, State.FAILED, State.ROLLED_BACK])
        await desk.store.finish(
            ids[name], endings[name], error="It died." if endings[name] is not State.SUCCEEDED else ""
        )
    return endings


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
        assert_within_limits(desk)


async def test_slack_away_for_ten_minutes_and_two_kills_cost_nothing(tmp_path: Path) -> None:
    async with desk_in(tmp_path) as desk:
        names = [f"svc-{number}" for number in range(6)]
        for name in names:
            await desk.add(name)
        await walk(desk, names[:2], random.Random(1))  # some cards are there already
        desk.slack.down()
        away = desk.clock.now
        await walk(desk, names[2:4], random.Random(2))
        while desk.clock.now < away + 200:
            await desk.tick()
        await desk.reopen()
        await walk(desk, names[4:], random.Random(3))
        while desk.clock.now < away + 400:
            await desk.tick()
        assert "Slack does not answer" in desk.outbox.trouble
        await desk.reopen()
        while desk.clock.now < away + 600:
            await desk.tick()
        desk.slack.up()
        await desk.settle()
        assert desk.outbox.trouble == ""
        assert Counter(text.split()[0] for text in desk.texts()) == Counter(names)
        assert not [text for text in desk.texts() if "being deployed" in text]
        assert_within_limits(desk)


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


POINTS = ("begin_post", "card_shown", "chat.postMessage")


@pytest.mark.parametrize("count", range(1, 5))
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("point", POINTS)
async def test_a_kill_at_any_point_of_a_post_leaves_exactly_one_card(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, point: str, when: str, count: int
) -> None:
    owner: Any = SlackClient if point == "chat.postMessage" else Store
    name = "post" if point == "chat.postMessage" else point
    real: Callable[..., Any] = getattr(owner, name)
    left = itertools.count(count, -1)

    async def deadly(*arguments: Any, **more: Any) -> Any:
        is_now = next(left) == 1
        if is_now and when == "before":
            raise Crash
        answer = await real(*arguments, **more)
        if is_now:
            raise Crash
        return answer

    monkeypatch.setattr(owner, name, deadly)
    for tag in ("0001", "0002"):
        await desk.deployed(tag=tag)
    has_crashed = False
    try:
        await desk.settle()
    except Crash:
        has_crashed = True
        monkeypatch.setattr(owner, name, real)
        await desk.reopen()
        await desk.settle()
    assert has_crashed or count > 2
    assert Counter(text.split()[1] for text in desk.texts()) == {"0001": 1, "0002": 1}
    threads = [m for m in desk.slack.messages("deployments") if m.thread_ts]
    assert Counter(m.thread_ts for m in threads) == {card.ts: 1 for card in desk.cards()}


async def test_a_change_while_a_card_is_being_sent_is_sent_too(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = await desk.store.want(Wanted(service="web", kind=Kind.DEPLOY, actor="cli:root", tag="0001"))
    real = SlackClient.post

    async def slow(*arguments: Any, **more: Any) -> Posted:
        if (await desk.store.deployment(wanted.id)).state is State.QUEUED:
            await desk.store.claim("web")
        return await real(*arguments, **more)

    monkeypatch.setattr(SlackClient, "post", slow)
    await desk.settle()
    assert "being deployed" in desk.texts()[0]


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
    assert [text.split()[1] for text in desk.texts("team-web")] == ["0001"]
    desk.slack.archive("team-web")
    await desk.deployed(tag="0002")
    await desk.settle()
    assert [text.split()[1] for text in desk.texts()] == ["0002"]


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


async def test_a_message_that_somebody_deleted_is_posted_anew(desk: Desk) -> None:
    wanted = await desk.store.want(Wanted(service="web", kind=Kind.DEPLOY, actor="cli:root", tag="0001"))
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
    threads = [m for m in desk.slack.messages("deployments") if m.thread_ts]
    assert [(m.is_broadcast, "pulling" in screen.as_text(m)) for m in threads] == [(False, True), (True, True)]
    assert {m.thread_ts for m in threads} == {card.ts for card in desk.cards()}


async def test_a_long_log_comes_as_a_file_in_the_thread(desk: Desk) -> None:
    wanted = await desk.store.want(Wanted(service="web", kind=Kind.DEPLOY, actor="cli:root", tag="0001"))
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
    assert [text.split()[1] for text in desk.texts()] == ["0002"]


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
        assert [text.split()[1] for text in desk.texts()] == ["0002"]
        desk.clock.now = datetime(2027, 1, 11, 7, 0, 1, tzinfo=UTC).timestamp()
        await desk.settle()
        assert [text.split()[1] for text in desk.texts()] == ["0002", "0001"]


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


async def test_a_card_of_nothing_is_not_there(desk: Desk) -> None:
    with pytest.raises(NotFound):
        await desk.store.card(CardKind.DEPLOYMENT, "99")
