"""A store, a Slack and the outbox between them, on a clock that runs when it is told to: what tests of cards need."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from bot.configuration import read
from bot.models import Deployment, Kind, State, Wanted
from bot.notifiers.slack.cards import render
from bot.notifiers.slack.client import SlackClient
from bot.notifiers.slack.outbox import Outbox
from bot.notifiers.slack.quiet import QuietHours
from bot.store import Store
from lab.slack import FakeSlack, SlackMessage, fake_slack, screen
from lab.slack.server import Call

STEPS = (State.PULLING, State.STARTING, State.CHECKING, State.SWITCHING)
ENDINGS = (State.SUCCEEDED, State.FAILED, State.ROLLED_BACK)


class Clock:
    """From the present on."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


class Desk:
    """Made by `desk_in`."""

    store: Store
    client: SlackClient
    outbox: Outbox

    def __init__(self, folder: Path, slack: FakeSlack, clock: Clock, session: aiohttp.ClientSession) -> None:
        self.folder = folder
        self.slack = slack
        self.clock = clock
        self.session = session
        self.quiet = ""

    async def open(self) -> None:
        """As o8 starts."""
        self.store = await Store.open(self.folder / "o8.sqlite")
        self.client = SlackClient(self.slack.bot_token, self.slack.url, self.session)
        self.outbox = Outbox(self.store, self.client, render, "#deployments", QuietHours.read(self.quiet), self.clock)

    async def reopen(self) -> None:
        """As after a kill: nothing is left but the database."""
        await self.store.close()
        await self.open()

    async def add(self, name: str = "web") -> None:
        await self.store.apply(read({"name": name, "image": f"ghcr.io/acme/{name}", "port": 80}), 1000)

    async def want(self, tag: str = "0001", name: str = "web") -> Deployment:
        return await self.store.want(Wanted(service=name, kind=Kind.DEPLOY, actor="cli:root", tag=tag))

    async def deployed(self, name: str = "web", tag: str = "0001", ending: State = State.SUCCEEDED) -> Deployment:
        """A whole deployment, without a look at Slack."""
        wanted = await self.want(tag, name)
        await self.store.claim(name)
        await self.store.enter(wanted.id, State.PULLING, "b")
        return await self.store.finish(wanted.id, ending, error="It exited." if ending is State.FAILED else "")

    async def settle(self, minutes: float = 30) -> None:
        """Until every card shows what is true; raises `TimeoutError` when that takes longer."""
        end = self.clock.now + 60 * minutes
        while await self.store.due_cards():
            if self.clock.now > end:
                raise TimeoutError(f"cards are left: {await self.store.due_cards()}")
            await self.tick()

    async def tick(self) -> None:
        """What may be sent now is sent; then the clock goes on to when something may be sent again."""
        pause = await self.outbox.round()
        self.clock.now += min(max(pause, 0.01), 61)

    async def wait(self, minutes: float) -> None:
        """The clock goes on so far, whatever can be shown."""
        end = self.clock.now + 60 * minutes
        while self.clock.now < end:
            await self.tick()

    def cards(self, channel: str = "deployments") -> list[SlackMessage]:
        return [m for m in self.slack.messages(channel) if not m.thread_ts]

    def texts(self, channel: str = "deployments") -> list[str]:
        return [screen.as_text(card) for card in self.cards(channel)]

    def tags(self, channel: str = "deployments") -> list[str]:
        """Which releases have a card."""
        return [text.split()[1] for text in self.texts(channel)]

    def threads(self, channel: str = "deployments") -> list[SlackMessage]:
        return [m for m in self.slack.messages(channel) if m.thread_ts]


@asynccontextmanager
async def desk_in(folder: Path, *, quiet: str = "") -> AsyncIterator[Desk]:
    clock = Clock()
    async with fake_slack(clock) as slack, aiohttp.ClientSession() as session:
        desk = Desk(folder, slack, clock, session)
        desk.quiet = quiet
        await desk.open()
        yield desk
        await desk.store.close()


async def walk(desk: Desk, names: list[str], dice: random.Random) -> dict[str, State]:
    """Deploys all at once; each goes its way while cards are sent. Returns how each has ended."""
    ids = {name: (await desk.want("7", name)).id for name in names}
    for name in names:
        await desk.store.claim(name)
    for state in STEPS:
        for name in dice.sample(names, len(names)):
            await desk.store.enter(ids[name], state, "b")
            if dice.random() < 0.3:
                await desk.tick()
    endings = {name: dice.choice(ENDINGS) for name in names}
    for name, ending in endings.items():
        await desk.store.finish(ids[name], ending, error="" if ending is State.SUCCEEDED else "It died.")
    return endings


def broken_limits(slack: FakeSlack) -> list[str]:
    """Which of Slack's documented limits were not kept, as counted by the one who was called."""
    found = []
    updates = sorted(call.at for call in slack.calls if call.method == "chat.update")
    if any(later < earlier + 60 for earlier, later in zip(updates, updates[50:], strict=False)):
        found.append("more than 50 updates a minute")
    posts = sorted((_channel(slack, call), call.at) for call in slack.calls if call.method == "chat.postMessage")
    for (channel, earlier), (same, later) in itertools.pairwise(posts):
        if channel == same and later - earlier < 1:
            found.append(f"two posts in {channel} within {later - earlier:.2f} s")
    if refused := sum(call.status == 429 for call in slack.calls):
        found.append(f"{refused} times 429")
    return found


def _channel(slack: FakeSlack, call: Call) -> str:
    """Its id, however it was called."""
    named = str(call.body.get("channel"))
    found = slack.channel(named)
    return found.id if found else named
