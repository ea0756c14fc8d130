"""A whole o8 with a Slack workspace around it; Docker is out of reach, which Slack's side must not mind."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from bot.app import App
from bot.configuration import read
from bot.permissions import Action
from bot.settings import Settings
from lab.ports import free_port
from lab.slack import FakeSlack, SlackDriver, SlackMessage, SlackView, fake_slack, screen
from lab.slack.desk import Desk, desk_in
from lab.waiting import until


@dataclass
class Office:
    """`root` is admin of everything, `ada` may deploy `web`; `shop` is hidden from her."""

    app: App
    settings: Settings
    slack: FakeSlack
    driver: SlackDriver
    root: str
    ada: str

    def somebody(self, name: str = "somebody", **more: Any) -> str:
        return self.slack.add_user(name, **more)

    async def says(self, user: str, text: str, **more: Any) -> str:
        """What a slash command is answered, at once or a little later."""
        before = len(self.slack.ephemerals(user))
        answer = await self.driver.command(user, "/o8", text, **more)
        assert answer.is_in_time, answer
        return screen.as_text(answer.message) if answer.body else await self.told(user, before)

    async def told(self, user: str, before: int = 0) -> str:
        """What somebody sees after `before` messages that only they see, once there is something."""

        async def look() -> list[SlackMessage]:
            return self.slack.ephemerals(user)[before:]

        return "\n".join(screen.as_text(one) for one in await until(look))

    async def view(self, user: str) -> SlackView:
        """The newest modal of somebody."""

        async def look() -> list[SlackView]:
            return [view for view in self.slack.views if view.user == user and view.is_open]

        return (await until(look))[-1]

    async def card(self, *words: str) -> SlackMessage:
        """The newest card with all of these words."""

        async def look() -> list[SlackMessage]:
            cards = [m for m in self.slack.messages("deployments") if not m.thread_ts]
            return [m for m in cards if all(word in screen.as_text(m) for word in words)]

        return (await until(look))[-1]


def settings_for(slack: FakeSlack, folder: Path, **more: Any) -> Settings:
    return Settings(
        o8_data_dir=folder, port=free_port(), docker_host=f"unix://{folder}/no-docker.sock", nginx_mode="system",
        nginx_managed_dir=folder / "sites", nginx_test_command="false", nginx_reload_command="false",
        slack_bot_token=SecretStr(slack.bot_token), slack_api_url=slack.url,
        **{"slack_signing_secret": SecretStr(slack.signing_secret)} | more,
    )  # fmt: skip


@asynccontextmanager
async def office_in(slack: FakeSlack, folder: Path, *, by_socket: bool = False, **more: Any) -> AsyncIterator[Office]:
    """With `by_socket` nothing of Slack comes in over HTTP."""
    if by_socket:
        more["slack_app_token"] = SecretStr(slack.app_token)
    settings = settings_for(slack, folder, **more)
    async with await App.start(settings) as app:
        driver = SlackDriver(slack, f"http://127.0.0.1:{settings.port}", by_socket=by_socket)
        office = Office(app, settings, slack, driver, slack.add_user("root"), slack.add_user("ada"))
        await _furnish(office)
        if by_socket:

            async def is_connected() -> bool:
                return bool(slack.sockets)

            await until(is_connected)
        yield office


@pytest.fixture
async def slack() -> AsyncIterator[FakeSlack]:
    async with fake_slack() as slack:
        yield slack


@pytest.fixture
async def office(slack: FakeSlack, tmp_path: Path) -> AsyncIterator[Office]:
    async with office_in(slack, tmp_path) as office:
        yield office


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """Only the store, Slack and the outbox, with a service `web` and a fake clock."""
    async with desk_in(tmp_path) as desk:
        await desk.add()
        yield desk


async def _furnish(office: Office) -> None:
    store = office.app.services.store
    for name in ("web", "shop"):
        await store.apply(read({"name": name, "image": f"ghcr.io/acme/{name}", "port": 8080}), 100)
    await store.grant_slack(office.slack.team, office.root, "root", Action.ADMIN, "global", "o8")
    await store.grant_slack(office.slack.team, office.ada, "ada", Action.DEPLOY, "service:web", "o8")

    async def is_known() -> str:
        return await store.remembered("slack_team")

    await until(is_known)
