"""What is in a release, on its card: commits, who wrote them, and a link; asked of GitHub in the background."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from unittest.mock import patch

import aiohttp
import pytest

from bot.github import Access, GitHub
from bot.github.commits import Author, Changes, Commits
from bot.models import Deployment, Kind, State, Wanted
from bot.notifiers.github import changes as reading
from bot.notifiers.github.changes import ChangesReader
from bot.notifiers.slack.cards import deployment_card
from bot.notifiers.slack.commits import commits, span_of
from bot.store.changes import Span
from lab.github_api import FakeGitHub, Reply, fake_github
from lab.github_api.apps import CLIENT_ID
from lab.slack.desk import Desk
from lab.waiting import until
from tests.slack.test_cards import deployment, facts, problems

OLD, NEW, SITE = "a" * 40, "b" * 40, "acme/site"
COMPARE = f"https://github.com/{SITE}/compare/{OLD}...{NEW}"


def release(commit: str = NEW, repository: str = SITE, **more: Any) -> Deployment:
    return deployment(State.SUCCEEDED, commit=commit, repository=repository, **more)


def said(changes: Changes | None, before: Deployment | None = None, **mentions: str) -> str:
    return commits(release(), before or release(OLD), changes, mentions)


def by(*logins: str, more: int = 0, ahead: int = 3, behind: int = 0) -> Changes:
    authors = tuple(Author(login=login, name=login.title()) for login in logins)
    return Changes(ahead=ahead, behind=behind, authors=authors, more=more)


# What is said


@pytest.mark.parametrize(("changes", "expected"), [
    (None, f"<{COMPARE}|diff to bbbbbbb>"),
    (by("ada"), f"<{COMPARE}|3 commits> to bbbbbbb by ada"),
    (by("ada", ahead=1), f"<{COMPARE}|1 commit> to bbbbbbb by ada"),
    (by("ada", "bob"), f"<{COMPARE}|3 commits> to bbbbbbb by ada and bob"),
    (by("ada", "bob", "eve", more=2), f"<{COMPARE}|3 commits> to bbbbbbb by ada, bob, eve and 2 more"),
    (by(ahead=0, behind=2), f"<{COMPARE}|2 commits back> to bbbbbbb"),
    (by("ada", ahead=3, behind=1), f"<{COMPARE}|3 commits, and 1 back> to bbbbbbb by ada"),
])  # fmt: skip
def test_commits_are_counted_and_their_authors_named(changes: Changes | None, expected: str) -> None:
    assert said(changes) == expected


def test_a_first_release_has_one_commit() -> None:
    page = f"<https://github.com/{SITE}/commit/{NEW}|commit bbbbbbb>"
    assert commits(release(), None, None, {}) == page
    assert commits(release(), None, by("ada", ahead=1), {}) == f"{page} by ada"
    assert commits(release(), release(OLD, "acme/other"), None, {}) == page  # nothing to compare with
    assert commits(release(), release(NEW), None, {}) == page


def test_the_label_says_which_repository_it_is_and_the_image_is_only_a_guess() -> None:
    assert "https://github.com/acme/web/commit/" in commits(release(repository=""), None, None, {})
    assert span_of(release(repository=""), release(OLD)) is None
    assert span_of(release(), release(OLD)) == Span(SITE, OLD, NEW)
    assert span_of(release(), None) == Span(SITE, "", NEW)
    assert span_of(release(), release(NEW)) is None


def test_who_is_known_is_mentioned_and_nobody_else_can_be() -> None:
    assert said(by("Ada", "bob"), ada="U12AB").endswith(" by <@U12AB> and bob")
    nameless = Changes(ahead=1, authors=(Author(login="", name="<!channel> *Eve* <@U1>"),))
    text = said(nameless)
    assert "<!" not in text and "<@" not in text


def test_who_pushed_is_named() -> None:
    pushed = release(actor="delivery:1", pusher="Ada")
    assert "deploy by a push of Ada" in str(deployment_card(facts(pushed)).blocks)
    assert "deploy by a push of <@U12AB>" in str(
        deployment_card(facts(pushed)._replace(mentions={"ada": "U12AB"})).blocks
    )


def test_a_card_with_long_names_keeps_to_slacks_limits() -> None:
    long = tuple(Author(login="", name=f"{number}<&>" * 50) for number in range(3))
    changes = Changes(ahead=10**6, behind=10**6, authors=long, more=10**6)
    found = deployment_card(
        facts(release(pusher="x" * 100), is_live=True, previous=release(OLD))._replace(changes=changes)
    )
    assert problems(found) == []


# Where it comes from


@pytest.fixture
def api() -> Iterator[FakeGitHub]:
    with fake_github() as api:
        api.installations["acme"] = 11
        yield api


@asynccontextmanager
async def reader(desk: Desk, api: FakeGitHub) -> AsyncIterator[None]:
    """At work until the block ends."""
    pauses = [patch.object(reading, name, 0.05) for name in ("PAUSE_S", "LONGEST_PAUSE_S")]
    async with aiohttp.ClientSession() as session:
        access = Access("", CLIENT_ID, api.app_key)
        for each in pauses:
            each.start()
        task = asyncio.create_task(ChangesReader(desk.store, Commits(GitHub(session, api.url)), access).run())
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        for each in pauses:
            each.stop()


async def everything_is_known(desk: Desk) -> None:
    async def look() -> bool:
        return not await desk.store.unknown_changes()

    await until(look)
    await desk.settle()


async def live(desk: Desk, commit: str, tag: str, repository: str = SITE, kind: Kind = Kind.DEPLOY) -> Deployment:
    """A release that serves."""
    wanted = Wanted(service="web", kind=kind, actor="cli:root", tag=tag, commit=commit, repository=repository)
    found = await desk.store.want(wanted)
    await desk.store.claim("web")
    await desk.store.enter(found.id, State.SWITCHING, "b")
    await desk.store.leave(found.id, {}, has_switched=True)
    return await desk.store.finish(found.id, State.SUCCEEDED)


@pytest.mark.slow
async def test_a_card_is_posted_at_once_and_edited_when_github_has_answered(desk: Desk, api: FakeGitHub) -> None:
    first = api.commit(SITE, "ada")
    await live(desk, first, "0001")
    for login in ("bob", "ada", "bob", "eve", "dan"):
        newest = api.commit(SITE, login)
    await live(desk, newest, "0002")
    await desk.settle()  # GitHub was not asked
    assert [f"commit {first[:7]}" in desk.texts()[0], f"diff to {newest[:7]}" in desk.texts()[1]] == [True, True]
    assert "instead of" not in desk.texts()[0]  # what came after it
    posts = len(desk.cards())
    async with reader(desk, api):
        await everything_is_known(desk)
        assert f"commit {first[:7]}> by ada" in str(desk.cards()[0].blocks)
        assert f"5 commits> to {newest[:7]} by bob, ada, eve and 1 more" in str(desk.cards()[1].blocks)
        back = await live(desk, first, "0001", kind=Kind.DEPLOY)
        await everything_is_known(desk)
        assert f"5 commits back> to {first[:7]}" in str(desk.cards()[2].blocks), back
        count = len(api.asked)
        await live(desk, first, "0001")  # a restart has nothing new in it
        await everything_is_known(desk)
        assert len(api.asked) == count
    assert len(desk.cards()) == posts + 2


@pytest.mark.slow
async def test_a_linked_author_is_mentioned(desk: Desk, api: FakeGitHub) -> None:
    await desk.store.remember("slack_team", "T1")
    await desk.store.add_user("ada")
    await desk.store.link_slack("T1", "U0ADA", "ada")
    await desk.store.link_github("Ada-L", "ada")
    await desk.store.add_user("bob")
    await desk.store.link_slack("T2", "U0BOB", "bob")  # of another workspace
    await desk.store.link_github("bob", "bob")
    api.commit(SITE, "ada-l")
    first = await live(desk, api.commits_of[SITE][0].sha, "0001")
    await desk.store.write(lambda db: db.execute("UPDATE deployments SET pusher = 'ADA-L' WHERE id = ?", [first.id]))
    await live(desk, api.commit(SITE, "bob"), "0002")
    async with reader(desk, api):
        await everything_is_known(desk)
    assert "deploy by root on the server of <@U0ADA>" in str(desk.cards()[0].blocks)
    assert [" by <@U0ADA>" in str(desk.cards()[0].blocks), " by bob" in str(desk.cards()[1].blocks)] == [True, True]


@pytest.mark.slow
async def test_github_may_be_away_and_may_refuse(desk: Desk, api: FakeGitHub) -> None:
    first = api.commit(SITE)
    await live(desk, first, "0001")
    await live(desk, "c" * 40, "0002")  # a commit that GitHub does not have
    await live(desk, api.commit("stranger/site"), "0003", "stranger/site")
    await live(desk, api.commit(SITE, None, name="Eve <eve@example.org>"), "0004")
    api.replies.extend([Reply(502)] * 5)
    async with reader(desk, api):
        await everything_is_known(desk)
    texts = [str(card.blocks) for card in desk.cards()]
    assert f"commit {first[:7]}> by ada" in texts[0]
    assert "diff to ccccccc" in texts[1]
    assert "https://github.com/stranger/site/commit/" in texts[2]
    assert " by Eve &lt;eve@example.org&gt;" in texts[3]


@pytest.mark.slow
async def test_what_nobody_was_told_of_is_not_asked(desk: Desk, api: FakeGitHub) -> None:
    await live(desk, api.commit(SITE), "0001")
    await desk.store.drop_old_cards()
    assert await desk.store.unknown_changes() == ()
