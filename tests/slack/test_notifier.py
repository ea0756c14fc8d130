"""The notifier in an o8 with Slack, without it, and with it again; what `/readyz` and the doctor say of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from pydantic import SecretStr

from bot import doctor as doctor_module
from bot.app import App
from bot.configuration import read
from bot.doctor import Doctor, Finding
from bot.engines import Credentials
from bot.engines.docker import DockerEngine
from bot.errors import SettingsError
from bot.models import Deployment, Kind, State, Wanted
from bot.nginx import Nginx
from bot.notifiers import slack as notifiers
from bot.notifiers.slack import SlackNotifier
from bot.notifiers.slack.client import SlackClient
from bot.registry import Registry
from bot.settings import Settings
from bot.store import Store
from handlers import health
from lab.http_server import serving
from lab.slack import FakeSlack, screen
from lab.waiting import until
from tests.slack.conftest import settings_for

pytestmark = pytest.mark.slow


@asynccontextmanager
async def telling(slack: FakeSlack, store: Store, folder: Path) -> AsyncIterator[SlackNotifier]:
    """A notifier at work."""
    async with aiohttp.ClientSession() as session:
        client = SlackClient(slack.bot_token, slack.url, session)
        notifier = SlackNotifier(settings_for(slack, folder), store, client)
        work = asyncio.create_task(notifier.run())
        yield notifier
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = await Store.open(tmp_path / "o8.sqlite")
    await store.apply(read({"name": "web", "image": "ghcr.io/acme/web", "port": 80}), 100)
    yield store
    await store.close()


def without_slack(settings: Settings) -> Settings:
    return settings.model_copy(update={"slack_bot_token": SecretStr("")})


async def want(store: Store, tag: str) -> Deployment:
    return await store.want(Wanted(service="web", kind=Kind.DEPLOY, actor="cli:root", tag=tag))


def tags(slack: FakeSlack) -> list[str]:
    return [screen.as_text(m).split()[1] for m in slack.messages("deployments") if not m.thread_ts]


async def all_is_shown(store: Store) -> None:
    async def look() -> bool:
        return not await store.due_cards()

    await until(look)


async def has_begun(store: Store) -> None:
    async def look() -> str:
        return await store.remembered("slack_since") and await store.remembered("slack_team")

    await until(look)


async def test_what_happened_before_the_first_start_is_not_told(slack: FakeSlack, store: Store, tmp_path: Path) -> None:
    before = await want(store, "0001")
    await store.cancel_pending(before.id, "not now")
    async with telling(slack, store, tmp_path):
        await has_begun(store)
        await want(store, "0002")
        await all_is_shown(store)
    assert tags(slack) == ["0002"]


async def test_what_happened_while_o8_was_off_is_told(slack: FakeSlack, store: Store, tmp_path: Path) -> None:
    async with telling(slack, store, tmp_path):
        await has_begun(store)
    await want(store, "0001")
    async with telling(slack, store, tmp_path):
        await all_is_shown(store)
    assert tags(slack) == ["0001"]


@pytest.mark.slow
async def test_what_happened_in_a_time_without_slack_is_not_told_but_old_cards_become_true(
    slack: FakeSlack, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    off = without_slack(settings_for(slack, tmp_path))
    database = tmp_path / "o8.sqlite"
    store = await Store.open(database)
    await store.apply(read({"name": "web", "image": "ghcr.io/acme/web", "port": 80}), 100)
    async with telling(slack, store, tmp_path):
        await has_begun(store)
        running = await want(store, "0001")
        await store.claim("web")
        await all_is_shown(store)
    await store.close()
    async with await App.start(off) as app:
        await app.services.store.finish(running.id, State.FAILED, error="It exited.")
        await want(app.services.store, "0002")

        async def nginx_was_tried() -> bool:  # an end in the middle of that would leave a failure that nobody hears of
            return "nginx is not ready" in caplog.text

        await until(nginx_was_tried)
    store = await Store.open(database)
    async with telling(slack, store, tmp_path):
        await all_is_shown(store)
    await store.close()
    assert tags(slack) == ["0001"]
    assert "failed" in screen.as_text(slack.messages("deployments")[0])


async def test_a_token_that_slack_does_not_know_is_said_and_tried_again(
    slack: FakeSlack, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifiers, "RETRY_S", 0.02)
    slack.revoke_token()
    async with telling(slack, store, tmp_path) as notifier:

        async def is_said() -> bool:
            return "token_revoked" in notifier.trouble()

        await until(is_said)
        assert notifier.identity is None
        slack.restore_token()
        await has_begun(store)
        await want(store, "0001")
        await all_is_shown(store)
        assert notifier.trouble() == ""
    assert tags(slack) == ["0001"]


async def test_a_card_is_shown_as_soon_as_something_changes(slack: FakeSlack, store: Store, tmp_path: Path) -> None:
    async with telling(slack, store, tmp_path):
        await has_begun(store)
        await want(store, "0001")

        async def is_told() -> bool:
            return tags(slack) == ["0001"]

        await until(is_told, within_s=2)


async def test_quiet_hours_that_make_no_sense_are_a_fault_of_the_settings(
    slack: FakeSlack, store: Store, tmp_path: Path
) -> None:
    async with aiohttp.ClientSession() as session:
        client = SlackClient(slack.bot_token, slack.url, session)
        with pytest.raises(SettingsError, match="SLACK_QUIET_HOURS"):
            SlackNotifier(settings_for(slack, tmp_path, slack_quiet_hours="25:00-07:00"), store, client)


# What o8 says of it


@asynccontextmanager
async def doctor(slack: FakeSlack, store: Store, folder: Path, notifier: SlackNotifier | None) -> AsyncIterator[Doctor]:
    settings = settings_for(slack, folder)
    engine = DockerEngine(
        host=settings.docker_host, network="o8-none", subnet=settings.o8_subnet, installation=store.installation,
        volumes_dir=settings.volumes_dir, patience_s=1,
    )  # fmt: skip
    async with aiohttp.ClientSession() as session:
        credentials = Credentials(settings.docker_server_address, "", "")
        yield Doctor(settings, store, engine, Nginx(settings), Registry(session, credentials, timeout_s=1), notifier)
    await engine.close()


async def of_slack(doctor: Doctor) -> Finding:
    return next(found for found in await doctor.check() if found.subject == "Slack")


async def test_readyz_and_the_doctor_say_what_is_wrong_with_slack(
    slack: FakeSlack, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor_module, "LIMIT_S", 0.5)
    slack.revoke_token()
    async with telling(slack, store, tmp_path) as notifier, doctor(slack, store, tmp_path, notifier) as asked:

        async def is_said() -> bool:
            return "token_revoked" in (await asked.readiness())["slack"]

        await until(is_said)
        finding = await of_slack(asked)
        assert (finding.state, "token_revoked" in finding.message) == ("warning", True)
        assert slack.bot_token not in str(finding)


async def test_readyz_is_not_unready_for_slack_alone(slack: FakeSlack, store: Store, tmp_path: Path) -> None:
    """Its control: Docker that is not there."""

    class Parts:
        def __init__(self, docker: str) -> None:
            self.docker = docker

        async def readiness(self) -> dict[str, str]:
            return {"database": "", "docker": self.docker, "nginx": "", "slack": "Slack does not know o8."}

    class Services:
        def __init__(self, docker: str) -> None:
            self.doctor = Parts(docker)

    for docker, status in (("", 200), ("Docker does not answer.", 503)):
        application = web.Application()
        application.add_routes(health.routes(Services(docker)))
        with serving(application) as address:
            async with aiohttp.ClientSession() as session, session.get(f"http://{address}/readyz") as answer:
                assert answer.status == status
                assert (await answer.json())["slack"] == "Slack does not know o8."


async def test_the_doctor_names_the_channel_where_cards_go(
    slack: FakeSlack, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor_module, "LIMIT_S", 0.5)
    async with telling(slack, store, tmp_path) as notifier, doctor(slack, store, tmp_path, notifier) as asked:
        await has_begun(store)
        finding = await of_slack(asked)
        assert (finding.state, "#deployments" in finding.message) == ("ok", True)
        assert (await asked.readiness())["slack"] == ""


async def test_before_slack_has_answered_the_doctor_does_not_say_that_all_is_well(
    slack: FakeSlack, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor_module, "LIMIT_S", 0.5)
    async with aiohttp.ClientSession() as session:
        client = SlackClient(slack.bot_token, slack.url, session)
        notifier = SlackNotifier(settings_for(slack, tmp_path), store, client)
        async with doctor(slack, store, tmp_path, notifier) as asked:
            assert (await of_slack(asked)).state == "warning"


async def test_without_a_token_slack_is_off_and_no_trouble(
    slack: FakeSlack, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor_module, "LIMIT_S", 0.5)
    async with doctor(slack, store, tmp_path, None) as asked:
        finding = await of_slack(asked)
        assert (finding.state, "SLACK_BOT_TOKEN" in finding.message) == ("ok", True)
        assert (await asked.readiness())["slack"] == ""
