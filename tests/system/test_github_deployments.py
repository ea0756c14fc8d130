"""What GitHub shows of a whole o8 that is killed: every deployment once, of the right commit, its states in order."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from bot.models import State
from bot.run import Moment
from lab import github, stopping
from lab.agreement import until_agreed
from lab.github_api import FakeGitHub, fake_github
from lab.github_api.apps import CLIENT_ID
from lab.house import house
from lab.slack import FakeSlack, fake_slack
from lab.tenant import Tenant
from lab.waiting import until

pytestmark = pytest.mark.parts
REPOSITORY = "acme/site"
ORDER = ("queued", "in_progress", "success", "failure", "inactive")


@dataclass
class Story:
    """`releases`: the commits that have been live, the one that is at the end."""

    tenant: Tenant
    api: FakeGitHub
    slack: FakeSlack
    releases: list[str] = field(default_factory=list)

    async def push(self, tag: str, fault: str = "") -> str:
        """A new commit, which is returned."""
        image, commit = await self.tenant.make(tag, fault), self.api.commit(REPOSITORY)
        body = github.push(image.image, tag, image.digest)
        body["package"]["package_version"]["target_oid"] = commit
        body["repository"]["full_name"] = REPOSITORY
        assert (await self.tenant.deliver(body)).status == 202
        return commit

    def channel(self) -> str:
        """Everything that Slack shows."""
        return str([message.blocks for message in self.slack.messages("deployments")])

    async def ended(self) -> dict[str, Any]:
        return await self.tenant.house.ended((await self.tenant.newest())["id"])

    async def release(self, commit: str) -> None:
        """It serves by now or soon; GitHub shows that."""
        assert (await self.ended())["state"] == "succeeded"
        self.releases.append(commit)
        await self.shown()

    async def shown(self, *failed: str, is_back: bool = False) -> None:
        """GitHub has these and no others, each state once and in order; `is_back`: the last but one again."""
        live = len(self.releases) - 1 + is_back
        expected = [(commit, "success" if at == live else "inactive") for at, commit in enumerate(self.releases)]
        expected += [(commit, "failure") for commit in failed]
        expected += [(self.releases[-2], "success")] if is_back else []

        async def look() -> bool:
            return [(commit, states[-1]) for commit, states in self.api.history(REPOSITORY) if states] == expected

        try:
            await until(look, 30)
        except TimeoutError:
            raise AssertionError(f"{self.api.history(REPOSITORY)} instead of {expected}") from None
        for _, states in self.api.history(REPOSITORY):
            assert states == sorted(set(states), key=ORDER.index), states


@asynccontextmanager
async def a_story() -> AsyncIterator[Story]:
    with fake_github() as api:
        api.installations["acme"], api.commits_of[REPOSITORY] = 11, []
        app = {"GITHUB_API_URL": api.url, "GITHUB_APP_ID": CLIENT_ID, "GITHUB_APP_KEY": api.app_key}
        async with fake_slack() as slack, house(None, **app, **slack.environ, PUBLIC_URL="https://o8.test") as home:
            slack.add_channel("deployments")
            tenant = Tenant(home, f"k{secrets.token_hex(4)}")
            await home.start()
            await tenant.apply(watch=0, drain_timeout=3)
            yield Story(tenant, api, slack)


async def test_github_shows_each_deployment_once_however_often_o8_is_killed() -> None:
    async with a_story() as it:
        api, home = it.api, it.tenant.house
        await it.release(await it.push("0001"))
        await until(lambda: _is("deploy by a push of raj-k" in it.channel()), 30)

        # Between what GitHub did and its answer: when it made the deployment, and at a status of it.
        for tag, number in (("0002", 1), ("0003", 3)):
            api.held = api.posts + number
            commit = await it.push(tag)
            await until(lambda: _is(api.is_held), 30)
            home.kill()
            api.is_held = False
            await home.start()
            await it.release(commit)

        # By itself, when the switch is made and not written down.
        home.stop()
        await home.start(stopping.command(State.SWITCHING, Moment.AFTER_EFFECT))
        commit = await it.push("0004")
        await home.died()
        await home.start()
        await it.release(commit)

        bad = await it.push("0005", fault="exit1")
        assert (await it.ended())["state"] == "failed"
        await it.shown(bad)
        back = await home.deploy(it.tenant.name, kind="rollback")
        await home.ended(back["id"])
        await it.shown(bad, is_back=True)
        status = api.deployed[-1].statuses[-1]
        assert status["environment_url"] == f"http://{it.tenant.host}/"
        assert status["log_url"] == f"https://o8.test/ui/deployments/{back['id']}"
        await until(lambda: _is("|1 commit back> to" in it.channel()), 30)
        await until_agreed(it.tenant)


async def _is(value: bool) -> bool:
    return value
