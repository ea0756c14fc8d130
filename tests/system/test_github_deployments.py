"""What GitHub shows of a whole o8 that is killed: every deployment once, of the right commit, its states in order."""

from __future__ import annotations

import secrets

import pytest

from bot.models import State
from bot.run import Moment
from lab import github, stopping
from lab.agreement import until_agreed
from lab.github_api import FakeGitHub, fake_github
from lab.github_api.apps import CLIENT_ID
from lab.house import house
from lab.tenant import Tenant
from lab.waiting import until

pytestmark = pytest.mark.parts
REPOSITORY = "acme/site"
ORDER = ("queued", "in_progress", "success", "failure", "inactive")


async def pushed(tenant: Tenant, api: FakeGitHub, tag: str, fault: str = "") -> str:
    """A push of a new commit, which is returned."""
    image, commit = await tenant.make(tag, fault), api.commit(REPOSITORY)
    body = github.push(image.image, tag, image.digest)
    body["package"]["package_version"]["target_oid"] = commit
    body["repository"]["full_name"] = REPOSITORY
    assert (await tenant.deliver(body)).status == 202
    return commit


async def shown(api: FakeGitHub, *expected: tuple[str, str]) -> None:
    """GitHub has these deployments, and no others: commit and last state, each state once and in order."""

    async def look() -> bool:
        return [(commit, states[-1]) for commit, states in api.history(REPOSITORY) if states] == list(expected)

    try:
        await until(look, 30)
    except TimeoutError:
        raise AssertionError(f"{api.history(REPOSITORY)} instead of {expected}") from None
    for _, states in api.history(REPOSITORY):
        assert states == sorted(set(states), key=ORDER.index), states


async def test_github_shows_each_deployment_once_however_often_o8_is_killed() -> None:
    with fake_github() as api:
        api.installations["acme"], api.commits_of[REPOSITORY] = 11, []
        app = {"GITHUB_API_URL": api.url, "GITHUB_APP_ID": CLIENT_ID, "GITHUB_APP_KEY": api.app_key}
        async with house(None, **app, PUBLIC_URL="https://o8.example.org") as home:
            tenant = Tenant(home, f"k{secrets.token_hex(4)}")
            await home.start()
            await tenant.apply(watch=0, drain_timeout=3)
            first = await pushed(tenant, api, "0001")
            await shown(api, (first, "success"))
            active, commits = first, [(first, "inactive")]

            # Killed between what GitHub did and its answer: when it made the deployment, and at a status of it.
            for tag, number in (("0002", 1), ("0003", 3)):
                api.held = api.posts + number
                active = await pushed(tenant, api, tag)
                await until(lambda: _is(api.is_held), 30)
                home.kill()
                api.is_held = False
                await home.start()
                await home.ended((await tenant.newest())["id"])
                await shown(api, *commits, (active, "success"))
                commits.append((active, "inactive"))

            # Killed by itself when the switch is made and not written down.
            home.stop()
            await home.start(stopping.command(State.SWITCHING, Moment.AFTER_EFFECT))
            active = await pushed(tenant, api, "0004")
            await home.died()
            await home.start()
            await home.ended((await tenant.newest())["id"])
            await shown(api, *commits, (active, "success"))
            commits.append((active, "inactive"))

            bad = await pushed(tenant, api, "0005", fault="exit1")
            await home.ended((await tenant.newest())["id"])
            await shown(api, *commits[:-1], (active, "success"), (bad, "failure"))
            back = await home.deploy(tenant.name, kind="rollback")
            await home.ended(back["id"])
            await shown(api, *commits, (bad, "failure"), (commits[-2][0], "success"))
            status = api.deployed[-1].statuses[-1]
            assert status["environment_url"] == f"http://{tenant.host}/"
            assert status["log_url"] == f"https://o8.example.org/ui/deployments/{back['id']}"
            await until_agreed(tenant)


async def _is(value: bool) -> bool:
    return value
