"""An o8 that can be talked to without Slack: people, a stage that only notes what is shown, and `say`."""

from __future__ import annotations

import itertools
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bot.chat import Place
from bot.models import Deployment
from bot.permissions import GLOBAL, Action
from handlers.chatops import verbs as verbs  # fills the registry
from handlers.chatops.desk import Desk, Heard
from handlers.chatops.reply import Reply
from tests.small_house import House, open_house

TEAM = "T1"
ROOT, ADA, BOB, CAROL, NOBODY, STRANGER = "UROOT", "UADA", "UBOB", "UCAROL", "UNOBODY", "USTRANGER"
_RIGHTS = {
    ROOT: [("admin", GLOBAL)],
    ADA: [("deploy", "service:web"), ("view_logs", "service:web"), ("view_env", "service:web")],
    BOB: [("manage", "service:web")],
    CAROL: [("view_status", "service:web")],
    NOBODY: [],
}


@dataclass
class NotedStage:
    """A stage in memory: what was told to whom, and the lines of logs that are followed."""

    told: list[tuple[str, str]] = field(default_factory=list)
    followed: list[str] = field(default_factory=list)
    titles: list[tuple[str, float]] = field(default_factory=list)
    most: int = 2  # lines that are read before it is closed

    async def follow(self, lines: AsyncGenerator[str, None], title: str, seconds: float) -> None:
        self.titles.append((title, seconds))
        async with aclosing(lines):
            async for line in lines:
                self.followed.append(line)
                if len(self.followed) >= self.most:
                    return

    async def name_of(self, slack_user: str) -> str:
        return slack_user.lower().removeprefix("u")

    async def tell(self, slack_user: str, text: str) -> None:
        self.told.append((slack_user, text))


@dataclass
class Talks:
    """`house` is what is talked to; `desk` takes the commands."""

    house: House
    desk: Desk
    stage: NotedStage
    numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def heard(self, who: str, text: str, key: str = "") -> Heard:
        return Heard(text, actor(who), Place(team=TEAM, user=who, channel="C1"), key or f"key-{next(self.numbers)}")

    async def say(self, who: str, text: str) -> Reply:
        """The answer to a command, as the chat goes about it: checked, written down if it changes something, run."""
        heard = self.heard(who, text)
        asked = await self.desk.check(heard)
        if isinstance(asked, Reply):
            return asked
        ask = await self.desk.write_down(heard) if asked.verb.writes else None
        return await self.desk.carry_out(heard, ask)

    async def fill_in(self, who: str, form: Reply, **entered: str) -> Reply:
        """The answer to the form of a reply, with what somebody enters."""
        form = await self.ready(form)
        assert form.form is not None, form
        assert entered.keys() <= {one.name for one in form.form.fields}
        values = {one.name: one.value for one in form.form.fields} | entered
        return await self.desk.submit(form.form.verb, form.form.fixed, values, actor(who), self.heard(who, "").place)

    async def ready(self, reply: Reply) -> Reply:
        """What replaces a form that only says "wait"."""
        return await reply.later() if reply.later else reply

    async def press(self, who: str, reply: Reply, label: str) -> Reply:
        """The answer to the button of a reply whose label begins so."""
        (found,) = [button for button in reply.buttons if button.label.startswith(label)]
        return await self.say(who, found.command)

    async def newest(self, service: str = "web") -> Deployment:
        return (await self.house.services.store.deployments(service, limit=1))[0]

    async def ended(self, service: str = "web") -> Deployment:
        """The newest deployment of a service, once it has ended."""
        return await self.house.ended((await self.newest(service)).id)

    async def audited(self, action: str) -> list[str]:
        """Who did `action`, the newest first."""
        found = await self.house.services.store.audit(limit=100)
        return [entry.actor for entry in found if entry.action == action]


def actor(who: str) -> str:
    return f"slack:{TEAM}:{who}"


def labels(reply: Reply) -> list[str]:
    return [button.label for button in reply.buttons]


def cells(reply: Reply) -> list[str]:
    """Every cell of a reply's table, below its heading."""
    return [cell for row in reply.table[1:] for cell in row]


def whole(reply: Reply) -> str:
    """Everything that a reply says and carries, buttons and forms too."""
    return repr(reply)


async def employ(house: House) -> None:
    """`web` and `shop`, which only root sees; people with rights on `web` from none to all."""
    await house.add("web")
    await house.add("shop", image="ghcr.io/acme/shop")
    store = house.services.store
    for who, rights in _RIGHTS.items():
        name = who.lower().removeprefix("u")
        await store.add_user(name)
        await store.link_slack(TEAM, who, name)
        for action, scope in rights:
            await store.grant(name, Action(action), scope, "o8")


@asynccontextmanager
async def open_talks(folder: Path) -> AsyncIterator[Talks]:
    async with open_house(folder) as house:
        await employ(house)
        stage = NotedStage()
        yield Talks(house, Desk(house.services, lambda _: stage), stage)
