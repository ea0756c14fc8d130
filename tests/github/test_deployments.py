"""What GitHub's pages show of what runs: right commit, states in order, nothing twice, whatever happens in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from bot.doctor import Doctor, Finding
from bot.github import Login
from bot.github.deployments import Place, RemoteDeployments
from bot.models import Deployment, Kind, State
from bot.store import told
from lab.github_api import Reply
from lab.waiting import until
from tests.github.telling import REPOSITORY, Teller, teller

pytestmark = pytest.mark.slow
DONE = ["in_progress", "success"]
REPLACED = [*DONE, "inactive"]
SICK: dict[str, Any] = {"health": {"expect": "500", "within": 1}}  # what the stand-in never answers


@pytest.fixture
async def it(tmp_path: Path) -> AsyncIterator[Teller]:
    async with teller(tmp_path, public_url="https://o8.example.org") as it:
        yield it


async def in_state(it: Teller, id: int, *states: State) -> Deployment:
    async def look() -> Deployment | None:
        found = await it.house.services.store.deployment(id)
        return found if found.state in states else None

    found = await until(look)
    assert found
    return found


async def told_status(it: Teller, id: int, status: str) -> None:
    async def look() -> bool:
        query = "SELECT status FROM told WHERE deployment = ?"
        return await it.house.services.store.read(lambda db: db.execute(query, [id]).fetchone()[0] == status)

    await until(look)


async def held_up(it: Teller, tag: str) -> Deployment:
    """A deployment that pulls until `may_pull` is set, and of which GitHub knows."""
    it.house.engine.may_pull.clear()
    wanted = await it.want(tag=tag)
    await in_state(it, wanted.id, State.PULLING)
    await told_status(it, wanted.id, "in_progress")
    return wanted


async def slowly(it: Teller, tag: str) -> Deployment:
    """Deployed so that GitHub hears of each state."""
    wanted = await held_up(it, tag)
    it.house.engine.may_pull.set()
    return await it.house.ended(wanted.id)


# The story


async def test_each_release_is_a_deployment_and_only_what_serves_is_active(it: Teller) -> None:
    await it.start()
    for tag in ("0001", "0002", "0003"):
        it.push(tag)
        await slowly(it, tag)
    await it.shows(("0001", REPLACED), ("0002", REPLACED), ("0003", DONE))
    newest, before = it.api.deployed[-1], it.api.deployed[-2]
    assert it.api.told.index((newest.id, "success")) < it.api.told.index((before.id, "inactive"))
    status = newest.statuses[-1]
    assert status["environment_url"] == "http://web.example.org/"
    assert status["log_url"] == "https://o8.example.org/ui/deployments/3"
    assert status["description"] == "web 0003: succeeded"
    assert newest.body["environment"] == "web"
    assert newest.body["description"] == "deploy by a person"


async def test_one_that_fails_leaves_the_one_before_active(it: Teller) -> None:
    await it.start()
    it.push("0001")
    await slowly(it, "0001")
    it.push("0002")
    await it.house.add(**SICK)
    failed = await slowly(it, "0002")
    assert failed.state is State.FAILED
    await it.shows(("0001", DONE), ("0002", ["in_progress", "failure"]))
    assert failed.error not in str(it.api.deployed[-1].statuses)  # the page may be public


async def test_a_rollback_is_a_new_deployment_of_the_old_commit(it: Teller) -> None:
    await it.start()
    for tag in ("0001", "0002"):
        it.push(tag)
        await slowly(it, tag)
    async with it.house.services.worker.turn("web"):  # it waits for its turn
        back = await it.want(Kind.ROLLBACK, target=1)
        await told_status(it, back.id, "queued")
        it.house.engine.may_pull.clear()
    await told_status(it, back.id, "in_progress")
    it.house.engine.may_pull.set()
    await it.house.ended(back.id)
    await it.shows(("0001", REPLACED), ("0002", REPLACED), ("0001", ["queued", *DONE]))
    assert it.api.deployed[-1].body["description"] == "rollback by a person"


async def test_a_restart_is_a_deployment_of_the_commit_that_runs(it: Teller) -> None:
    await it.start()
    it.push("0001")
    await slowly(it, "0001")
    await it.house.ended((await it.want(Kind.RESTART)).id)
    await until(lambda: _is(it.api.told[-1][1] == "inactive"))
    assert [(sha, states[-1]) for sha, states in it.api.history(REPOSITORY)] == [
        (it.commits["0001"], "inactive"), (it.commits["0001"], "success"),
    ]  # fmt: skip


async def test_what_is_deployed_by_its_digest_has_a_commit_too(it: Teller) -> None:
    await it.start()
    it.push("0001")
    await it.deploy("", digest=it.house.registry.found["0001"])
    await until(lambda: _is(it.api.told[-1:] == [(1_000_000, "success")]))
    assert it.api.history(REPOSITORY)[0][0] == it.commits["0001"]


async def test_what_waits_for_approval_is_queued_and_what_is_rejected_is_inactive(it: Teller) -> None:
    await it.start()
    first = it.push("0001")
    origin: dict[str, Any] = {"commit": first, "repository": REPOSITORY}
    waiting = await it.want(tag="0001", needs_approval=True, **origin)
    await it.shows(("0001", ["queued"]))
    await it.house.services.worker.cancel(waiting.id, "no")
    await it.shows(("0001", ["queued", "inactive"]))
    again = await it.want(tag="0001", needs_approval=True, **origin)
    await told_status(it, again.id, "queued")
    it.house.engine.may_pull.clear()
    await it.house.services.worker.approve(again.id, "user:admin")
    await told_status(it, again.id, "in_progress")
    it.house.engine.may_pull.set()
    await it.house.ended(again.id)
    await it.shows(("0001", ["queued", "inactive"]), ("0001", ["queued", *DONE]))


async def test_the_image_knows_better_than_the_push_from_which_commit_it_is(it: Teller) -> None:
    await it.start()
    guessed, it.commits["guessed"] = it.api.commit(REPOSITORY), ""
    it.push("0001")
    waiting = await it.want(tag="0001", needs_approval=True, commit=guessed, repository="acme/web")
    await it.shows((guessed, ["queued"]))
    it.house.engine.may_pull.clear()
    await it.house.services.worker.approve(waiting.id, "user:admin")
    await told_status(it, waiting.id, "in_progress")
    it.house.engine.may_pull.set()
    await it.house.ended(waiting.id)
    await it.shows((guessed, ["queued", "inactive"]), ("0001", DONE))


async def test_capitals_make_no_other_repository(it: Teller) -> None:
    await it.start()
    it.commits["0001"] = it.api.commit(REPOSITORY)
    it.label("0001", "Acme/Web", it.commits["0001"])
    origin: dict[str, Any] = {"commit": it.commits["0001"], "repository": "acme/web"}
    waiting = await it.want(tag="0001", needs_approval=True, **origin)
    await it.shows(("0001", ["queued"]))
    await it.house.services.worker.approve(waiting.id, "user:admin")
    await it.house.ended(waiting.id)
    await until(lambda: _is(it.api.told[-1][1] == "success"))
    assert len(it.api.deployed) == 1


async def test_nothing_is_active_where_nothing_serves(it: Teller) -> None:
    await it.start()
    it.push("0001")
    await slowly(it, "0001")
    await it.house.ask("POST", "/services/web/stop")
    await it.shows(("0001", REPLACED))
    await it.house.ended((await it.want(Kind.START)).id)
    await until(lambda: _is(it.api.told[-1][1] == "success"))
    await it.house.ask("DELETE", "/services/web")
    await until(lambda: _is(it.api.told[-1][1] == "inactive"))


async def test_what_came_to_nothing_before_it_began_is_not_told(it: Teller) -> None:
    await it.start()
    it.push("0001")
    it.push("0002")
    it.house.engine.may_pull.clear()
    running = await it.want(tag="0001")
    await in_state(it, running.id, State.PULLING)
    superseded, newest = await it.want(tag="0002"), await it.want(tag="0002")
    it.house.engine.may_pull.set()
    await it.house.ended(newest.id)
    assert (await it.house.services.store.deployment(superseded.id)).state is State.SUPERSEDED
    await until(lambda: _is(len(it.api.history(REPOSITORY)) == 2))
    assert [sha for sha, _ in it.api.history(REPOSITORY)] == [it.commits["0001"], it.commits["0002"]]
    unchanged = await it.deploy("0002")
    assert unchanged.state is State.UNCHANGED
    assert len(it.api.history(REPOSITORY)) == 2


# Kills, lost answers, outages


async def two_releases(it: Teller) -> None:
    for tag in ("0001", "0002"):
        it.push(tag)
        await slowly(it, tag)
    await it.shows(("0001", REPLACED), ("0002", DONE))


@pytest.mark.parametrize("number", range(1, 8))
async def test_a_kill_before_any_answer_tells_nothing_twice_and_forgets_nothing(it: Teller, number: int) -> None:
    """Killed when GitHub has done what it was asked to, and o8 does not know that yet."""
    it.api.held = number
    await it.start()

    async def kill() -> None:
        await until(lambda: _is(it.api.is_held), 20)
        await it.kill()
        it.api.is_held = False
        await it.start()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(kill())
        tasks.create_task(two_releases(it))
    assert it.api.posts == 7


async def test_answers_that_are_lost_are_looked_up(it: Teller) -> None:
    it.api.answers_lost = 7
    await it.start()
    await two_releases(it)
    assert it.api.answers_lost == 0
    assert it.api.posts == 7


async def test_the_control_who_does_not_look_tells_twice(it: Teller) -> None:
    class Forgetful(RemoteDeployments):
        async def find(self, login: Login, place: Place) -> int:
            return 0

        async def newest_status(self, login: Login, repository: str, number: int) -> str:
            return ""

    it.api.answers_lost = 2  # of the deployment, and of the one that is made instead
    await it.start(kind=Forgetful)
    it.push("0001")
    await it.deploy("0001")
    await until(lambda: _is(it.api.told[-1:] == [(1_000_002, "success")]))
    assert len(it.api.deployed) == 3


async def test_what_happened_while_github_was_away_is_told_in_order_as_it_ended(it: Teller) -> None:
    await it.start()
    it.push("0001")
    await slowly(it, "0001")
    await it.shows(("0001", DONE))
    it.api.replies.extend([Reply(502)] * 100_000)
    for tag in ("0002", "0003"):
        it.push(tag)
        assert (await it.deploy(tag)).state is State.SUCCEEDED  # it waits for nobody
    await it.house.add(**SICK)
    it.push("0004")
    assert (await it.deploy("0004")).state is State.FAILED
    assert it.notifier
    await until(lambda: _is("GitHub is not told what runs" in (it.notifier.trouble() if it.notifier else "")))
    it.api.replies.clear()
    await it.shows(("0001", REPLACED), ("0002", ["inactive"]), ("0003", ["success"]), ("0004", ["failure"]))
    await until(lambda: _is(it.notifier is not None and it.notifier.trouble() == ""))


async def test_github_is_left_alone_for_as_long_as_it_says(it: Teller) -> None:
    waits: list[float] = []
    sleep = asyncio.sleep

    async def short(seconds: float) -> None:
        waits.append(seconds)
        await sleep(0)

    await it.start()
    it.push("0001")
    with patch("bot.notifiers.github.asyncio.sleep", short):
        it.api.replies.append(Reply(429, {"message": "slow down"}, {"Retry-After": "77"}))
        await it.deploy("0001")
        await until(lambda: _is(77 in waits))
        await until(lambda: _is(it.api.history(REPOSITORY) != [] and it.api.told[-1][1] == "success"))


# Refusals


async def test_what_github_refuses_is_kept_and_holds_up_nothing_else(it: Teller) -> None:
    await it.start()
    await it.house.add("shop")
    it.api.commits_of["acme/shop"] = []
    it.api.read_only.add("acme/shop")
    it.push("0001", "acme/shop")
    await it.deploy("0001", "shop")
    it.push("0002")
    await slowly(it, "0002")
    await it.shows(("0002", DONE))
    (refusal,) = await it.house.services.store.refusals()
    assert (refusal.service, refusal.repository) == ("shop", "acme/shop")
    assert "Resource not accessible by integration" in refusal.reason
    count = len(it.api.asked)
    later = datetime.now(UTC) + timedelta(minutes=61)
    it.api.read_only.clear()
    await it.house.deployed(tag="0003")  # something happens, and nobody asks GitHub again before its time
    await it.shows(("0002", REPLACED))
    assert it.api.history("acme/shop") == []
    assert count <= len(it.api.asked)
    with patch.object(told, "AGAIN", datetime.now(UTC) - later):
        await it.house.add("blog")
        await it.shows(("0001", ["success"]), repository="acme/shop")
    assert await it.house.services.store.refusals() == ()


@pytest.mark.parametrize(("repository", "reason"), [("stranger/web", "404"), ("acme/gone", "404")])
async def test_a_repository_that_is_not_ours_is_a_refusal(it: Teller, repository: str, reason: str) -> None:
    await it.start()
    it.api.commits_of["stranger/web"] = []
    it.commits["0001"] = "a" * 40
    it.label("0001", repository, "a" * 40)
    await it.deploy("0001")
    await until(it.house.services.store.refusals)
    (refusal,) = await it.house.services.store.refusals()
    assert refusal.repository == repository
    assert it.api.deployed == []


async def test_a_commit_that_github_does_not_have_is_a_refusal(it: Teller) -> None:
    await it.start()
    it.label("0001", REPOSITORY, "a" * 40)
    await it.deploy("0001")
    await until(it.house.services.store.refusals)
    (refusal,) = await it.house.services.store.refusals()
    assert "No ref found" in refusal.reason
    it.push("0002")
    await slowly(it, "0002")
    assert await it.house.services.store.refusals() == ()  # that is past


async def test_images_of_others_are_not_told_where_owners_are_named(tmp_path: Path) -> None:
    async with teller(tmp_path, github_owners="Other, acme-labs") as it:
        it.push("0001")
        await it.deploy("0001")
        await it.start()
        await it.shows()
        assert it.api.posts == 0
        assert await it.house.services.store.refusals() == ()


async def test_the_doctor_says_what_github_does_not_take(it: Teller) -> None:
    async def findings() -> list[Finding]:
        house: Any = it.house
        settings, store = it.house.services.settings, it.house.services.store
        found = await Doctor(settings, store, house.engine, house.nginx, house.registry, None, it.notifier).check()
        return [each for each in found if each.subject == "GitHub's deployments"]

    assert await findings() == []  # nobody tells
    await it.start()
    assert [each.state for each in await findings()] == ["ok"]
    it.api.read_only.add(REPOSITORY)
    it.push("0001")
    await it.deploy("0001")
    await until(it.house.services.store.refusals)
    (refused,) = await findings()
    assert (refused.state, "web in acme/web" in refused.message, "Deployments" in refused.next_step) == (
        "warning", True, True,
    )  # fmt: skip
    it.api.replies.extend([Reply(500)] * 1000)
    it.push("0002")
    await it.deploy("0002")
    await until(lambda: _is(bool(it.notifier and it.notifier.trouble())))
    (away,) = await findings()
    assert (away.state, "GitHub is not told what runs: GitHub answered 500" in away.message) == ("warning", True)


# Who tells


async def test_a_token_that_may_tells_without_an_app(it: Teller) -> None:
    it.api.scopes.add("repo_deployment")
    await it.start("person")
    it.push("0001")
    await slowly(it, "0001")
    await it.shows(("0001", DONE))


async def test_a_token_that_may_not_is_silent(it: Teller) -> None:
    notifier = await it.start("person")
    store = it.house.services.store
    it.push("0001")
    await it.deploy("0001")
    assert {one.split("?")[0] for one in it.api.asked} == {"GET /rate_limit"}
    assert notifier.trouble() == ""
    assert await store.refusals() == ()
    await it.kill()
    it.api.scopes.add("repo")  # from now on it may, and what was before is not told
    await it.start("person")
    it.push("0002")
    await slowly(it, "0002")
    await it.shows(("0002", DONE))


async def test_what_was_before_the_app_is_not_told(it: Teller) -> None:
    it.push("0001")
    await it.deploy("0001")
    await it.start("nobody")
    await it.kill()
    it.push("0002")
    await it.deploy("0002")
    await it.start()
    it.push("0003")
    await slowly(it, "0003")
    await it.shows(("0003", DONE))
    await it.kill()
    await it.start("nobody")  # the App is taken away, and comes back
    await it.kill()
    it.push("0004")
    await it.deploy("0004")
    await it.start()
    await it.shows(("0003", REPLACED))  # what GitHub was told of still follows what is true
    it.push("0005")
    await slowly(it, "0005")
    await it.shows(("0003", REPLACED), ("0005", DONE))


async def _is(value: bool) -> bool:
    return value
