"""What did not arrive is asked for again: all of it, once, in its order, for as long as that makes sense."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bot.errors import GitHubUnavailable, NotFound
from bot.hooks import Webhooks
from bot.hooks.sweeper import PATIENCE, Sweeper
from lab import github
from lab.github_api import TOKEN, FakeGitHub
from lab.github_api.apps import CLIENT_ID
from lab.github_api.hooks import StoredHook
from lab.waiting import until
from tests.hooks.conftest import SECRET, push
from tests.hooks.front import Front
from tests.small_house import House, open_house

pytestmark = pytest.mark.slow


def hurried(sweeper: Sweeper) -> Sweeper:
    """Without the second that it leaves GitHub between two wishes."""
    sweeper.between_s = 0.0
    return sweeper


@pytest.fixture
def sweeper(house: House) -> Sweeper:
    return hurried(house.services.webhooks.sweeper)


async def quiet(hook: StoredHook, tries: int) -> None:
    """All that was asked for was tried."""

    async def look() -> bool:
        return len(hook.tries) >= tries

    await until(look)


async def tags(house: House, service: str = "web") -> list[tuple[str, str]]:
    """Tag and state of each deployment, the oldest first."""
    return [(d.tag, str(d.state)) for d in reversed(await house.services.store.deployments(service, limit=50))]


async def test_what_was_missed_arrives_in_its_order_and_the_newest_wins(
    house: House, front: Front, api: FakeGitHub, hook: StoredHook, sweeper: Sweeper
) -> None:
    await front.close()
    sent = [(await push(api, tag))[0].guid for tag in ("0002", "0003", "0004")]
    assert {each.status_code for each in hook.tries} == {502}
    await front.open()
    sweeper.between_s = 0.3  # GitHub redelivers each by itself, so the order is that of the wishes
    assert await sweeper.sweep() == 3
    await quiet(hook, 6)
    assert front.passed == sent
    assert await tags(house) == [("0002", "superseded"), ("0003", "superseded"), ("0004", "queued")]
    assert [each.id for each in await house.services.store.deliveries()] == sent[::-1]
    assert await sweeper.sweep() == 0


async def test_what_arrived_is_not_asked_for_again(
    house: House, api: FakeGitHub, hook: StoredHook, sweeper: Sweeper
) -> None:
    await push(api, "0002")
    await push(api, "0001", "nobodys")
    await api.deliver(hook, "ping", github.sample("ping"))
    assert await sweeper.sweep() == 0
    assert "1 webhook " in sweeper.finding().message


async def test_one_that_failed_inside_o8_is_asked_for_again(
    house: House, api: FakeGitHub, hook: StoredHook, sweeper: Sweeper
) -> None:
    guid = (await push(api, "0002"))[0].guid
    await house.services.store.processed(guid, failure="web: the registry does not answer")
    assert await sweeper.sweep() == 1
    await quiet(hook, 2)
    assert (await house.services.store.delivery(guid)).verdict != "failed"


async def test_pings_and_other_events_are_left_alone(
    api: FakeGitHub, front: Front, hook: StoredHook, sweeper: Sweeper
) -> None:
    await front.close()
    await api.deliver(hook, "ping", github.sample("ping"))
    await api.deliver(hook, "push", {"organization": {"login": "acme"}})
    assert await sweeper.sweep() == 0


async def test_older_than_three_days_is_over(api: FakeGitHub, front: Front, hook: StoredHook, sweeper: Sweeper) -> None:
    await front.close()
    await push(api, "0002", at=datetime.now(UTC) - timedelta(days=3, minutes=1))
    await push(api, "0003", at=datetime.now(UTC) - timedelta(days=2, hours=23))
    assert await sweeper.sweep() == 1
    await quiet(hook, 3)
    assert hook.tries[-1].raw == hook.tries[1].raw


async def test_what_fails_again_is_tried_five_times_with_longer_and_longer_pauses(
    api: FakeGitHub, front: Front, hook: StoredHook, sweeper: Sweeper
) -> None:
    front.status = 503
    await push(api, "0002", at=datetime.now(UTC) - timedelta(days=1))
    for number in range(1, len(PATIENCE) + 1):
        hook.tries[-1].at = datetime.now(UTC) - PATIENCE[number - 1] + timedelta(seconds=30)
        if number > 1:
            assert await sweeper.sweep() == 0, "too early"
        hook.tries[-1].at = datetime.now(UTC) - PATIENCE[number - 1]
        assert await sweeper.sweep() == 1, number
        await quiet(hook, number + 1)
    hook.tries[-1].at = datetime.now(UTC) - timedelta(hours=12)
    assert await sweeper.sweep() == 0
    assert len({each.guid for each in hook.tries}) == 1 and len(hook.tries) == 6


async def test_a_secret_that_was_wrong_loses_nothing_once_it_is_right(
    house: House, api: FakeGitHub, hook: StoredHook, sweeper: Sweeper
) -> None:
    hook.config["secret"] = "another one than here"
    guid = (await push(api, "0002"))[0].guid
    assert hook.tries[0].status_code == 401
    with pytest.raises(NotFound):
        await house.services.store.delivery(guid)
    hook.config["secret"] = SECRET
    assert await sweeper.sweep() == 1
    await quiet(hook, 2)
    assert hook.tries[-1].status_code == 202 and (await house.services.store.delivery(guid)).accepted == ("web",)


async def test_pages_of_two_hundred_and_fifty_are_read_and_unchanged_ones_cost_nothing(
    api: FakeGitHub, front: Front, hook: StoredHook, sweeper: Sweeper
) -> None:
    missed = (await push(api, "0002"))[0]
    missed.status_code, missed.guid = 502, "0" * 8 + "-missed"
    for _ in range(250):
        await api.deliver(hook, "ping", {"organization": {"login": "acme"}})
        hook.tries[-1].status_code = 200
    front.status = 503
    before = sum("/deliveries?" in line for line in api.asked)
    assert await sweeper.sweep() == 1
    assert sum("/deliveries?" in line for line in api.asked) - before == 3
    await quiet(hook, 252)
    await sweeper.sweep()
    counted = api.counted
    assert await sweeper.sweep() == 0
    assert api.counted == counted


async def test_webhooks_of_others_and_of_elsewhere_are_not_touched(
    api: FakeGitHub, front: Front, hook: StoredHook, sweeper: Sweeper
) -> None:
    await front.close()
    other = api.add_hook("orgs/acme", f"{front.url}/webhooks/other", SECRET)
    elsewhere = api.add_hook("repos/acme/unknown", f"{front.url}/webhooks/github", SECRET)
    for each in (other, elsewhere):
        await api.deliver(each, "package", github.push("ghcr.io/acme/web", "0009"))
    assert await sweeper.sweep() == 0
    assert not [line for line in api.asked if line.startswith("POST")]


async def test_a_webhook_of_the_repository_of_a_package_is_swept(
    house: House, api: FakeGitHub, front: Front, sweeper: Sweeper
) -> None:
    hook = api.add_hook("repos/acme/site", f"{front.url.upper().replace('HTTP', 'http')}/webhooks/github/", SECRET)
    await house.services.catalogue.refresh()
    await front.close()
    await push(api, "0002", repository="acme/site")
    assert await sweeper.sweep() == 1
    await quiet(hook, 2)


async def test_without_the_right_it_is_quiet_for_a_day_and_doctor_says_which_right(
    house: House, api: FakeGitHub, hook: StoredHook, sweeper: Sweeper, caplog: pytest.LogCaptureFixture
) -> None:
    api.scopes = {"read:packages"}
    for _ in range(3):
        assert await sweeper.sweep() == 0
    assert sum("/orgs/acme/hooks" in line for line in api.asked) == 1
    assert sum("are left to polling" in line for line in caplog.messages) == 1
    found = next(each for each in await house.services.doctor.check() if each.subject == "missed deliveries")
    assert found.state == "warning" and "`admin:org_hook`" in found.message


async def test_many_repositories_without_the_right_are_one_line_in_the_log(
    house: House, api: FakeGitHub, sweeper: Sweeper, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(20):
        api.publish("acme", f"n{number}", "0001")
        api.repositories["acme", f"n{number}"] = f"acme/n{number}"
    await house.services.catalogue.refresh()
    api.scopes = {"read:packages", "admin:org_hook"}
    await sweeper.sweep()
    assert sum("/repos/" in line for line in api.asked) == 21
    told = [record for record in caplog.records if record.name == "bot.hooks.sweeper"]
    assert [record.levelname for record in told if record.levelname != "DEBUG"] == ["WARNING"]


async def test_who_may_read_and_not_write_asks_once_for_each(
    api: FakeGitHub, front: Front, hook: StoredHook, sweeper: Sweeper
) -> None:
    await front.close()
    for tag in ("0002", "0003"):
        await push(api, tag)
    api.refuses_redelivery = True
    for _ in range(2):
        await sweeper.sweep()
    assert sum(line.startswith("POST") for line in api.asked) == 2
    assert "1 webhook " in sweeper.finding().message


async def test_a_used_up_limit_stops_the_sweep(api: FakeGitHub, hook: StoredHook, sweeper: Sweeper) -> None:
    api.remaining = 0
    with pytest.raises(GitHubUnavailable) as found:
        await sweeper.sweep()
    assert found.value.retry_after > 60


async def test_while_github_listens_to_nobody_it_is_left_alone(
    api: FakeGitHub, hook: StoredHook, sweeper: Sweeper, caplog: pytest.LogCaptureFixture
) -> None:
    api.remaining = 0

    async def is_told() -> bool:
        return sweeper.finding().state == "warning"

    running = asyncio.create_task(sweeper.run())
    await until(is_told)
    assert "rate limit is used up" in sweeper.finding().message
    await asyncio.sleep(0.2)
    running.cancel()
    assert len([line for line in api.asked if "rate_limit" not in line]) == 1
    assert sum("Missed deliveries are not found" in line for line in caplog.messages) == 1


async def test_an_unknown_owner_does_not_keep_others_waiting(tmp_path: Path, api: FakeGitHub, front: Front) -> None:
    chosen = {"github_pat": TOKEN, "github_webhook_secret": SECRET, "public_url": front.url}
    async with open_house(tmp_path, github_api_url=api.url, github_owners="gone,acme", **chosen) as house:
        hook = api.add_hook("orgs/acme", f"{front.url}/webhooks/github", SECRET)
        await front.close()
        await push(api, "0002")
        assert await house.services.webhooks.sweeper.sweep() == 1
        await quiet(hook, 2)


async def test_an_app_sweeps_its_own_webhook(tmp_path: Path, api: FakeGitHub, front: Front) -> None:
    api.app_hook.config |= {"url": f"{front.url}/webhooks/github", "secret": SECRET, "content_type": "json"}
    chosen = {"github_app_id": CLIENT_ID, "github_app_key": api.app_key, "github_webhook_secret": SECRET}
    async with open_house(tmp_path, github_api_url=api.url, **chosen) as house:
        front.behind = await house.open_to_all()
        await house.add()
        front.status = 502
        await push(api, "0002")
        front.status = 0
        assert await hurried(house.services.webhooks.sweeper).sweep() == 1
        await quiet(api.app_hook, 2)
        assert await tags(house) == [("0002", "queued")]


@pytest.mark.parametrize(("chosen", "said"), [
    ({}, "neither GITHUB_PAT nor an App"),
    ({"github_pat": TOKEN}, "PUBLIC_URL is not set"),
    ({"github_pat": TOKEN, "public_url": "https://o8.example.org"}, "was not asked yet"),
])  # fmt: skip
async def test_doctor_says_why_nobody_looks(tmp_path: Path, chosen: dict[str, str], said: str) -> None:
    async with open_house(tmp_path, github_api_url="http://127.0.0.1:9", **chosen) as house:
        found = house.services.webhooks.sweeper.finding()
        assert (found.state, found.message.startswith("Polling finds them")) == ("ok", True)
        assert said in found.message
        assert isinstance(house.services.webhooks, Webhooks)
