"""The stand-in refuses what GitHub refuses about deployments, so that a client that passes there keeps to its rules."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import pytest

from lab.github_api import TOKEN, FakeGitHub, fake_github
from lab.github_api.server import ACCEPT, API_VERSION

pytestmark = pytest.mark.slow
PLACE = "/repos/acme/web/deployments"
HEADERS = {"Accept": ACCEPT, "X-GitHub-Api-Version": API_VERSION, "User-Agent": "test"}


@pytest.fixture
def api() -> Iterator[FakeGitHub]:
    with fake_github() as api:
        api.scopes.add("repo")
        api.commit("acme/web")
        yield api


@pytest.fixture
async def session(api: FakeGitHub) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(api.url, headers=HEADERS | {"Authorization": f"Bearer {TOKEN}"}) as session:
        yield session


async def ask(session: aiohttp.ClientSession, method: str, path: str, body: object = None,
              token: str = TOKEN) -> tuple[int, Any]:  # fmt: skip
    headers = {"Authorization": f"Bearer {token}"}
    async with session.request(method, path, json=body, headers=headers) as answer:
        return answer.status, await answer.json()


def wanted(api: FakeGitHub, **more: object) -> dict[str, object]:
    body: dict[str, object] = {
        "ref": api.commits_of["acme/web"][0].sha, "environment": "web", "auto_merge": False, "required_contexts": [],
    }  # fmt: skip
    return {name: value for name, value in (body | more).items() if value is not None}


@pytest.mark.parametrize(("more", "status"), [
    ({}, 201), ({"ref": "main"}, 422), ({"ref": "a" * 40}, 422), ({"ref": "a" * 7}, 422),
    ({"required_contexts": None}, 409), ({"auto_merge": None}, 409), ({"auto_merge": True}, 409),
    ({"description": "x" * 141}, 422), ({"environment": ""}, 422),
])  # fmt: skip
async def test_a_deployment_needs_a_known_commit_and_no_conditions(
    api: FakeGitHub, session: aiohttp.ClientSession, more: dict[str, object], status: int
) -> None:
    assert (await ask(session, "POST", PLACE, wanted(api, **more)))[0] == status
    assert len(api.deployed) == (status == 201)


@pytest.mark.parametrize(("body", "status"), [
    ({"state": "success"}, 201), ({"state": "done"}, 422), ({}, 422),
    ({"state": "inactive", "description": "x" * 140}, 201), ({"state": "success", "description": "x" * 141}, 422),
    ({"state": "success", "environment_url": "ftp://web.example.org"}, 422),
    ({"state": "success", "log_url": "javascript:alert(1)"}, 422),
    ({"state": "success", "log_url": "http://o8.example.org/"}, 201),
])  # fmt: skip
async def test_a_status_is_one_of_githubs(
    api: FakeGitHub, session: aiohttp.ClientSession, body: dict[str, object], status: int
) -> None:
    _, made = await ask(session, "POST", PLACE, wanted(api))
    assert (await ask(session, "POST", f"{PLACE}/{made['id']}/statuses", body))[0] == status
    assert (await ask(session, "POST", f"{PLACE}/7/statuses", body))[0] == 404
    found = await ask(session, "GET", f"{PLACE}/{made['id']}/statuses")
    assert [one["state"] for one in found[1]] == ([body["state"]] if status == 201 else [])


async def test_deployments_are_listed_newest_first_by_commit_and_environment(
    api: FakeGitHub, session: aiohttp.ClientSession
) -> None:
    first, second = api.commits_of["acme/web"][0].sha, api.commit("acme/web")
    for ref, environment in ((first, "web"), (second, "web"), (first, "shop"), (first, "web")):
        await ask(session, "POST", PLACE, wanted(api, ref=ref, environment=environment))
    _, found = await ask(session, "GET", f"{PLACE}?sha={first}&environment=web&per_page=1")
    assert [one["id"] for one in found] == [1_000_003]
    _, found = await ask(session, "GET", f"{PLACE}?sha={first}&environment=web&per_page=1&page=2")
    assert [one["id"] for one in found] == [1_000_000]


async def test_only_who_may_sees_and_writes(api: FakeGitHub, session: aiohttp.ClientSession) -> None:
    """Only a token of the right owner's installation, or a person's with a scope for it."""
    commit = f"/repos/acme/web/commits/{api.commits_of['acme/web'][0].sha}"
    api.issued |= {"ghs_acme": ("Acme", 2e10), "ghs_other": ("other", 2e10)}
    expected = {
        ("repo", TOKEN): (201, 200), ("repo_deployment", TOKEN): (201, 404), ("read:packages", TOKEN): (404, 404),
        ("", "ghs_acme"): (201, 200), ("", "ghs_other"): (404, 404),
    }  # fmt: skip
    for (scope, token), statuses in expected.items():
        api.scopes = {scope}
        made, _ = await ask(session, "POST", PLACE, wanted(api), token)
        seen, _ = await ask(session, "GET", commit, token=token)
        assert (made, seen) == statuses, (scope, token)
    api.read_only.add("acme/web")
    assert (await ask(session, "POST", PLACE, wanted(api), "ghs_acme"))[0] == 403
    assert (await ask(session, "GET", PLACE, token="ghs_acme"))[0] == 200


async def test_commits_are_compared_along_their_parents(api: FakeGitHub, session: aiohttp.ClientSession) -> None:
    base = api.commits_of["acme/web"][0].sha
    ours = [api.commit("acme/web", login) for login in ("bob", "eve")]
    theirs = api.commit("acme/web", None, name="Dan", parent=base)

    async def compare(old: str, new: str, query: str = "") -> tuple[object, ...]:
        _, found = await ask(session, "GET", f"/repos/acme/web/compare/{old}...{new}{query}")
        shas = [one["sha"] for one in found["commits"]]
        return found["status"], found["ahead_by"], found["behind_by"], shas

    assert await compare(base, ours[1]) == ("ahead", 2, 0, ours)
    assert await compare(base, ours[1], "?per_page=1&page=2") == ("ahead", 2, 0, ours[1:])
    assert await compare(ours[1], base) == ("behind", 0, 2, [])
    assert await compare(ours[1], theirs) == ("diverged", 1, 2, [theirs])
    assert await compare(base, base) == ("identical", 0, 0, [])
    assert (await ask(session, "GET", f"/repos/acme/web/compare/{base}...main"))[0] == 404
    _, found = await ask(session, "GET", f"/repos/acme/web/commits/{theirs}")
    assert (found["author"], found["commit"]["author"]["name"]) == (None, "Dan")
