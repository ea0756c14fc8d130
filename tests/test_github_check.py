"""`o8 doctor` about GitHub: whether token and App are let in, what they may, how much is left."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest

from bot import github_check
from bot.findings import Finding
from bot.github import Access, GitHub
from bot.github.packages import Packages
from bot.github_check import GitHubCheck
from bot.packages.catalogue import Catalogue
from bot.store import Store
from lab.github_api import TOKEN, FakeGitHub, Reply, fake_github
from lab.github_api.apps import CLIENT_ID

pytestmark = pytest.mark.slow


@pytest.fixture
def api() -> Iterator[FakeGitHub]:
    with fake_github() as api:
        yield api


class Doctor:
    """Asks as `o8 doctor` does."""

    def __init__(self, api: FakeGitHub, store: Store, session: aiohttp.ClientSession) -> None:
        self._api = api
        self._store = store
        self._github = GitHub(session, api.url)

    def check(self, access: Access) -> tuple[GitHubCheck, Catalogue]:
        packages = Packages(self._github, access.person, "ghcr.io")
        catalogue = Catalogue(self._store, packages, ("acme", "initech"), "ghcr.io")
        return GitHubCheck(self._github, access, catalogue), catalogue

    async def found(self, token: str = "", app_id: str = "", key: str = "") -> list[Finding]:
        check, _ = self.check(Access(token, app_id, key or self._api.app_key if app_id else ""))
        return [finding async for finding in check.look()]


@pytest.fixture
async def doctor(api: FakeGitHub, tmp_path: Path) -> AsyncIterator[Doctor]:
    store = await Store.open(tmp_path / "data/o8.sqlite")
    async with aiohttp.ClientSession() as session:
        yield Doctor(api, store, session)
    await store.close()


def only(found: list[Finding]) -> Finding:
    (finding,) = found
    assert (finding.state == "ok") == (finding.next_step == "")
    return finding


async def test_without_token_and_app_github_is_off_and_not_asked(api: FakeGitHub, doctor: Doctor) -> None:
    finding = only(await doctor.found())
    assert (finding.state, api.asked) == ("ok", [])
    assert "Off" in finding.message


async def test_a_good_token_says_what_is_left_and_costs_nothing(api: FakeGitHub, doctor: Doctor) -> None:
    api.remaining, api.resets_at = 4711, datetime(2026, 3, 1, 12, 34, tzinfo=UTC).timestamp()
    finding = only(await doctor.found(TOKEN))
    assert finding.state == "ok"
    assert finding.message == "GitHub knows GITHUB_PAT; 4711 of 5000 requests are left until 12:34 UTC."
    assert api.counted == 0


@pytest.mark.parametrize(
    ("scopes", "state", "says"),
    [
        ({"write:packages"}, "ok", "knows"),
        ({"repo", "read:packages"}, "ok", "knows"),
        ({"repo"}, "warning", "may not read packages"),
        (set[str](), "warning", "may not read packages"),
    ],
)
async def test_what_a_token_may_is_looked_at(
    api: FakeGitHub, doctor: Doctor, scopes: set[str], state: str, says: str
) -> None:
    api.scopes = scopes
    finding = only(await doctor.found(TOKEN))
    assert finding.state == state
    assert says in finding.message


async def test_a_token_that_is_not_classic_is_warned_of(api: FakeGitHub, doctor: Doctor) -> None:
    core = {"limit": 5000, "remaining": 4999, "reset": 1800000000}
    api.replies.append(Reply(200, {"resources": {"core": core}}))
    finding = only(await doctor.found(TOKEN))
    assert finding.state == "warning"
    assert "classic" in finding.message


@pytest.mark.parametrize("left", [0, 499])
async def test_little_that_is_left_is_a_warning(api: FakeGitHub, doctor: Doctor, left: int) -> None:
    """Also when nothing is: to ask for the limit is free."""
    api.remaining = left
    finding = only(await doctor.found(TOKEN))
    assert finding.state == "warning"
    assert f"only {left} of 5000" in finding.message


async def test_a_token_that_has_ended_is_a_fault(doctor: Doctor) -> None:
    finding = only(await doctor.found("ghp_ended"))
    assert finding.state == "fault"
    assert "refuses GITHUB_PAT" in finding.message
    assert "read:packages" in finding.next_step


@pytest.mark.parametrize("reply", [Reply(200, {"no": "limits"}), Reply(200, raw=b"<html>"), Reply(404, {})])
async def test_what_is_not_github_is_a_fault(api: FakeGitHub, doctor: Doctor, reply: Reply) -> None:
    api.replies.append(reply)
    assert only(await doctor.found(TOKEN)).state == "fault"


async def test_silence_and_errors_are_a_warning_because_deployments_go_on(
    api: FakeGitHub, doctor: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(github_check, "PATIENCE_S", 0.2)
    api.replies.append(Reply(502, raw=b"<html>Unicorn</html>"))
    assert only(await doctor.found(TOKEN)).state == "warning"
    api.is_frozen = True
    finding = only(await doctor.found(TOKEN))
    api.is_frozen = False
    assert finding.state == "warning"
    assert "no answer within" in finding.message


async def test_an_app_is_known_and_installed(api: FakeGitHub, doctor: Doctor) -> None:
    api.installations |= {"acme": 1, "initech": 2}
    token, app = await doctor.found(TOKEN, CLIENT_ID)
    assert (token.subject, token.state) == ("GitHub", "ok")
    assert (app.subject, app.state) == ("GitHub App", "ok")


async def test_an_app_alone_cannot_list_packages(api: FakeGitHub, doctor: Doctor) -> None:
    api.installations |= {"acme": 1, "initech": 2}
    token, app = await doctor.found("", CLIENT_ID)
    assert (token.state, app.state) == ("warning", "ok")
    assert "An App cannot list packages" in token.message


async def test_where_the_app_is_not_installed_is_named(api: FakeGitHub, doctor: Doctor) -> None:
    api.installations["acme"] = 1
    _, app = await doctor.found(TOKEN, CLIENT_ID)
    assert (app.state, app.message) == ("warning", "The GitHub App is not installed at initech.")
    assert "Install App" in app.next_step


@pytest.mark.parametrize("clock_ahead_s", [0, 3600])
async def test_a_key_of_another_app_and_a_wrong_clock_are_faults(
    api: FakeGitHub, doctor: Doctor, clock_ahead_s: float
) -> None:
    api.clock_ahead_s = clock_ahead_s
    _, app = await doctor.found(TOKEN, CLIENT_ID if clock_ahead_s else "Iv23another")
    assert app.state == "fault"
    assert "GITHUB_APP_KEY" in app.next_step and "clock" in app.next_step


async def test_what_the_catalogue_could_not_read_is_said(api: FakeGitHub, doctor: Doctor) -> None:
    api.publish("acme", "web", "0001")
    check, catalogue = doctor.check(Access(TOKEN, "", ""))
    await catalogue.refresh()
    found = [finding async for finding in check.look()]
    assert [(finding.subject, finding.state) for finding in found] == [
        ("GitHub", "ok"),
        ("GitHub catalogue", "warning"),
    ]
    assert "initech: GitHub answered 404" in found[1].message
