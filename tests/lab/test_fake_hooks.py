"""GitHub's stand-in delivers as GitHub does: signed, once, kept for three days, redelivered with the same id."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import aiohttp
import pytest
from aiohttp import web

from bot.webhooks import is_genuine
from lab import github
from lab.github_api import TOKEN, FakeGitHub, fake_github
from lab.github_api.hooks import StoredHook
from lab.github_api.server import ACCEPT, API_VERSION
from lab.waiting import until
from tests.handlers.listening import listening

pytestmark = pytest.mark.slow

SECRET = "of sixteen signs"


class Received(NamedTuple):
    headers: dict[str, str]
    body: bytes


@pytest.fixture
def api() -> Iterator[FakeGitHub]:
    with fake_github() as api:
        api.scopes |= {"admin:org_hook"}
        yield api


@pytest.fixture
async def received() -> AsyncIterator[tuple[str, list[Received]]]:
    """Where one receives, and what came."""
    found: list[Received] = []

    async def receive(request: web.Request) -> web.Response:
        found.append(Received(dict(request.headers), await request.read()))
        return web.Response(status=202, text="taken")

    application = web.Application()
    application.router.add_post("/hook", receive)
    async with listening(application) as port:
        yield f"http://127.0.0.1:{port}/hook", found


async def call(api: FakeGitHub, method: str, path: str, body: Any = None) -> tuple[int, Any, str]:
    """Status, JSON and the header Link."""
    headers = {"Authorization": f"Bearer {TOKEN}", "Accept": ACCEPT, "X-GitHub-Api-Version": API_VERSION}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.request(method, path if path.startswith("http") else api.url + path, json=body) as answer,
    ):
        found = await answer.json(content_type=None) if await answer.read() else None
        return answer.status, found, answer.headers.get("Link", "")


def made(api: FakeGitHub, url: str, **more: Any) -> StoredHook:
    return api.add_hook("orgs/acme", url, SECRET, **more)


@pytest.mark.parametrize("content_type", ["json", "form"])
async def test_a_redelivery_has_the_same_id_and_body_and_a_signature_by_the_secret_of_now(
    api: FakeGitHub, received: tuple[str, list[Received]], content_type: str
) -> None:
    url, came = received
    hook = made(api, url, content_type=content_type)
    (sent,) = await api.pushed(github.push("ghcr.io/acme/web", "0002"))
    hook.config["secret"] = "another of sixteen"
    assert (await call(api, "POST", f"/orgs/acme/hooks/{hook.id}/deliveries/{sent.id}/attempts"))[0] == 202

    async def again() -> bool:
        return len(hook.tries) == 2

    await until(again)
    assert came[0].body == came[1].body
    assert {each.headers["X-GitHub-Delivery"] for each in came} == {sent.guid}
    for each, secret in zip(came, (SECRET, "another of sixteen"), strict=True):
        assert is_genuine([secret.encode()], each.body, each.headers["X-Hub-Signature-256"])
    _, listed, _ = await call(api, "GET", f"/orgs/acme/hooks/{hook.id}/deliveries")
    assert [(each["guid"], each["redelivery"], each["status_code"]) for each in listed] == [
        (sent.guid, True, 202), (sent.guid, False, 202),
    ]  # fmt: skip
    _, one, _ = await call(api, "GET", f"/orgs/acme/hooks/{hook.id}/deliveries/{sent.id}")
    assert one["response"]["payload"] == "taken"


async def test_deliveries_are_paged_by_cursor_filtered_and_kept_for_three_days(
    api: FakeGitHub, received: tuple[str, list[Received]]
) -> None:
    hook = made(api, received[0])
    now = datetime.now(UTC)
    for number in range(5):
        made_then = await api.deliver(hook, "ping", {}, now - timedelta(hours=number))
        made_then.status_code = 502 if number % 2 else 202
    hook.tries[0].at = now - timedelta(days=3)
    path = f"/orgs/acme/hooks/{hook.id}/deliveries"
    _, first, link = await call(api, "GET", f"{path}?per_page=3")
    _, rest, end = await call(api, "GET", link[1:].partition(">")[0])
    assert [each["id"] for each in first + rest] == [each.id for each in reversed(hook.tries[1:])]
    assert not end
    _, failed, _ = await call(api, "GET", f"{path}?status=failure")
    assert {each["status_code"] for each in failed} == {502} and len(failed) == 2
    assert (await call(api, "POST", f"{path}/{hook.tries[0].id}/attempts"))[0] == 404


async def test_who_hears_of_a_push(api: FakeGitHub, received: tuple[str, list[Received]]) -> None:
    url, came = received
    body = github.push("ghcr.io/acme/web", "0002")
    for place, more in (("orgs/acme", {"active": False}), ("orgs/acme", {"events": ["push"]}), ("orgs/other", {}),
                        ("repos/acme/web", {})):  # fmt: skip
        api.add_hook(place, url, SECRET, **more)
    assert await api.pushed(body) == [] and came == []
    api.add_hook("orgs/ACME", url, SECRET)
    assert len(await api.pushed(body, repository="acme/web")) == 2


async def test_a_secret_is_never_shown_and_a_change_of_the_configuration_replaces_it(
    api: FakeGitHub, received: tuple[str, list[Received]]
) -> None:
    url, _ = received
    config = {"url": url, "content_type": "json", "insecure_ssl": "0", "secret": SECRET}
    body = {"name": "web", "active": True, "events": ["package"], "config": config}
    status, found, _ = await call(api, "POST", "/orgs/acme/hooks", body)
    assert (status, found["config"]["secret"]) == (201, "********")
    assert (await call(api, "POST", "/orgs/acme/hooks", body))[0] == 422
    del config["secret"]
    _, found, _ = await call(api, "PATCH", f"/orgs/acme/hooks/{found['id']}", {"config": config})
    assert "secret" not in found["config"] and "secret" not in api.hooks[0].config
    _, listed, _ = await call(api, "GET", "/orgs/acme/hooks")
    assert SECRET not in str(listed)


@pytest.mark.parametrize("path", ["/orgs/acme/hooks", "/repos/acme/web/hooks", "/app/hook/config"])
async def test_without_the_right_there_is_nothing_to_see(api: FakeGitHub, path: str) -> None:
    api.scopes = {"read:packages"}
    assert (await call(api, "GET", path))[0] == (401 if path.startswith("/app") else 404)
