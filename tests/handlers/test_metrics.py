"""What Prometheus reads: valid in both formats, true, whole in peace and honest in trouble."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from prometheus_client import openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_open
from prometheus_client.parser import text_string_to_metric_families as read_text
from sqlite_utils import Database

from bot import figures
from bot.app import App
from bot.errors import EngineUnavailable, O8Error
from bot.models import ENDINGS, State
from bot.settings import Settings
from bot.version import version
from handlers import application
from handlers.commands import Commands
from lab.ports import free_port
from lab.waiting import until
from tests.handlers.scraping import MIB, SECRET, Page, measure, scrape, seen, watched
from tests.small_house import House, open_house

pytestmark = pytest.mark.slow


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with open_house(tmp_path, github_webhook_secret=SECRET) as house:
        yield house


@pytest.fixture
async def running(house: House) -> AsyncIterator[House]:
    """With `web` 0001 live on two replicas, and watched."""
    async with watched(house):
        yield house


# The page


@pytest.mark.parametrize("accept", ["", "text/plain", "application/openmetrics-text; version=1.0.0", "*/*"])
async def test_both_formats_can_be_read_back(running: House, accept: str) -> None:
    await measure(running)
    async with running.client.get("http://o8/metrics", headers={"Accept": accept}) as answer:
        text = await answer.text()
    if "openmetrics" in accept:
        assert answer.headers["Content-Type"] == openmetrics.exposition.CONTENT_TYPE_LATEST
        families = list(read_open(text))  # type: ignore[no-untyped-call]
    else:
        families = list(read_text(text))
    assert len({family.name for family in families}) == len(families) > 20
    for family in families:
        assert family.name.startswith(("o8_", "process_"))
        assert family.documentation
        assert family.type in ("counter", "gauge", "histogram", "info")
        assert family.samples, f"{family.name} says nothing"


@pytest.mark.parametrize(
    "accept",
    ["application/openmetrics-text; version=x", 'text/plain; version=1.x; escaping="', "\xff", ",;=,;", "a" * 4000],
)
async def test_nothing_that_is_accepted_breaks_the_page(house: House, accept: str) -> None:
    async with house.client.get("http://o8/metrics", headers={"Accept": accept}) as answer:
        assert answer.status == 200


async def test_everything_that_can_be_zero_is_there_from_the_start(house: House) -> None:
    """Else the first failure is no increase for Prometheus, and no alert."""
    page = await scrape(house)
    assert {labels["ending"] for labels in page.labels("o8_deployments_total")} == set(map(str, ENDINGS))
    states = {labels["state"] for labels in page.labels("o8_deployments_unfinished")}
    assert states == set(map(str, set(State) - ENDINGS))
    verdicts = {labels["verdict"] for labels in page.labels("o8_deliveries_total")}
    assert verdicts == {"accepted", "ignored", "duplicate", "failed", "refused"}
    assert {labels["step"] for labels in page.labels("o8_deployment_step_seconds_count")} == states - {
        "waiting", "queued",
    }  # fmt: skip
    for family in page.families.values():
        if family.name.startswith("o8_") and family.type in ("counter", "histogram"):
            assert {sample.value for sample in family.samples} == {0}
    assert page.value("o8_build_info", version=version()) == 1
    assert page.value("process_resident_memory_bytes") > MIB


# Who may read


async def test_a_token_that_may_see_everything_is_enough_and_less_is_not(house: House) -> None:
    address = await house.open_to_all()
    await house.add()
    answers = []
    async with aiohttp.ClientSession() as session:
        for rights in (None, [("view_status", "service:web")], [("view_status", "global")]):
            headers = {}
            if rights:
                wanted = [{"action": action, "scope": scope} for action, scope in rights]
                _, made = await house.ask("POST", "/tokens", {"name": "prometheus", "rights": wanted})
                headers = {"Authorization": f"Bearer {made['secret']}"}
            async with session.get(f"{address}/metrics", headers=headers) as answer:
                answers.append(answer.status)
    assert answers == [401, 403, 200]


async def test_the_server_for_prometheus_has_nothing_else_and_asks_nobody(house: House) -> None:
    runner = web.AppRunner(application.metrics_only(house.services))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    address = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with aiohttp.ClientSession(headers={"Origin": "https://evil.example.org"}) as session:
        async with session.get(f"{address}/metrics") as answer:
            assert answer.status == 200 and "o8_build_info" in await answer.text()
            assert not [name for name in answer.headers if name.lower().startswith("access-control")]
        async with session.post(f"{address}/metrics") as answer:
            assert answer.status == 405
        for path in ("/api/v1/services", "/services", "/readyz", "/"):
            async with session.get(f"{address}{path}") as answer:
                assert answer.status == 404
    await runner.cleanup()


def settings(folder: Path, address: str) -> Settings:
    return Settings(
        o8_data_dir=folder, port=free_port(), docker_host=f"unix://{folder}/no-docker.sock", nginx_mode="system",
        nginx_managed_dir=folder / "sites", nginx_test_command="false", nginx_reload_command="false",
        nginx_http_port=free_port(), metrics_bind=address, auth_password="a long password",
    )  # fmt: skip


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
async def test_metrics_bind_opens_that_server_while_nothing_else_is_ready(tmp_path: Path, host: str) -> None:
    address = f"{host}:{free_port()}"
    async with (
        await App.start(settings(tmp_path, address)),
        aiohttp.ClientSession() as session,
        session.get(f"http://{address}/metrics") as answer,
    ):
        page = Page.read(await answer.text())
    parts = {labels["part"]: page.value("o8_part_ready", **labels) for labels in page.labels("o8_part_ready")}
    assert parts == {"database": 1, "docker": 0, "nginx": 0, "slack": 1}


async def test_a_taken_address_is_named_by_its_setting(tmp_path: Path) -> None:
    port = free_port()
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", port)
    with pytest.raises(O8Error, match="METRICS_BIND"):
        await App.start(settings(tmp_path, f"127.0.0.1:{port}"))
    server.close()
    again = await App.start(settings(tmp_path, ""))  # nothing was left locked
    await again.close()


# What it says


async def test_a_service_that_runs_as_it_should(running: House) -> None:
    await measure(running)
    page = await scrape(running)
    wanted = {
        "o8_service_up": 1, "o8_service_replicas": 2, "o8_service_replicas_wanted": 2, "o8_service_cpu_cores": 0,
        "o8_service_memory_bytes": 200 * MIB, "o8_service_memory_limit_bytes": 1024 * MIB,
        "o8_service_needs_attention": 0,
    }  # fmt: skip
    assert {name: page.value(name, service="web") for name in wanted} == wanted
    assert page.labels("o8_service_info") == [{"service": "web", "image": "ghcr.io/acme/web", "release": "0001"}]
    assert page.value("o8_deployments_total", ending="succeeded") == 1
    assert page.value("o8_deployment_step_seconds_count", step="switching") == 1
    assert page.value("o8_deployment_step_seconds_bucket", step="switching", le="+Inf") == 1
    assert page.value("o8_nginx_reloads_total") == running.nginx.reloads > 0


async def test_a_service_that_lost_a_replica_is_not_up(running: House) -> None:
    running.engine.replicas["web", "b"].pop()
    running.engine.tell("web", "destroy")
    await seen(running, 1)
    page = await scrape(running)
    assert (page.value("o8_service_up", service="web"), page.value("o8_service_replicas", service="web")) == (0, 1)


async def test_a_service_with_an_unhealthy_replica_is_not_up(running: House) -> None:
    first, second = running.engine.replicas["web", "b"]
    running.engine.replicas["web", "b"] = [first, second.model_copy(update={"health": "unhealthy"})]
    await running.services.observer.look()
    assert (await scrape(running)).value("o8_service_up", service="web") == 0


async def test_containers_of_another_release_do_not_make_a_service_well(running: House) -> None:
    others = [r.model_copy(update={"deployment": 99}) for r in running.engine.replicas["web", "b"]]
    running.engine.replicas["web", "b"] = others
    await running.services.observer.look()
    assert (await scrape(running)).value("o8_service_up", service="web") == 0


async def test_a_service_that_somebody_stopped_is_no_alarm(running: House) -> None:
    await Commands(running.services, "cli:ann").stop("web")
    await seen(running, 0)
    page = await scrape(running)
    assert "o8_service_up" not in page
    assert page.value("o8_service_replicas_wanted", service="web") == page.value("o8_service_replicas", service="web")


async def test_a_service_that_was_never_deployed_is_no_alarm(running: House) -> None:
    await running.add("idle")
    page = await scrape(running)
    assert page.labels("o8_service_up") == page.labels("o8_service_replicas_wanted") == [{"service": "web"}]


async def test_what_waits_is_counted_by_state(running: House) -> None:
    running.registry.push("0002")
    running.engine.may_pull.clear()
    _, asked = await running.ask("POST", "/services/web/deployments", {"release": "0002"})

    async def pulls() -> bool:
        return (await scrape(running)).value("o8_deployments_unfinished", state="pulling") == 1

    await until(pulls)
    running.engine.may_pull.set()
    await running.ended(asked["id"])
    page = await scrape(running)
    assert {
        page.value("o8_deployments_unfinished", **labels) for labels in page.labels("o8_deployments_unfinished")
    } == {0}
    assert page.value("o8_deployments_total", ending="succeeded") == 2


async def test_a_delivery_that_nobody_signed_is_counted_as_refused(house: House) -> None:
    address = await house.open_to_all()
    async with aiohttp.ClientSession() as session:
        for headers in ({}, {"X-Hub-Signature-256": "sha256=" + "0" * 64}):
            async with session.post(f"{address}/webhooks/github", data=b"{}", headers=headers) as answer:
                assert answer.status == 401
    assert (await scrape(house)).value("o8_deliveries_total", verdict="refused") == 2


async def test_cards_are_told_only_where_there_is_slack(running: House) -> None:
    """Without Slack nothing shows them, ever: that is no lag."""
    assert "o8_cards_behind" not in await scrape(running)
    running.services.figures._has_slack = True
    page = await scrape(running)
    assert page.value("o8_cards_behind") == 1 and page.value("o8_card_lag_seconds") < 60


# Trouble


async def test_nothing_is_said_about_services_before_docker_has_told(house: House) -> None:
    await house.services.worker.start()
    await house.add()
    await house.deployed()
    page = await scrape(house)  # nobody has looked yet
    assert "o8_service_up" not in page and "o8_service_replicas" not in page
    assert page.value("o8_service_replicas_wanted", service="web") == 1


async def test_nothing_is_said_about_services_while_docker_is_away(
    running: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away() -> None:
        raise EngineUnavailable("Docker did not answer.")

    monkeypatch.setattr(running.engine, "facts", away)
    page = await scrape(running)
    assert page.value("o8_part_ready", part="docker") == 0
    assert "o8_service_up" not in page
    assert page.value("o8_deployments_total", ending="succeeded") == 1


async def test_an_nginx_that_is_down_is_told(running: House) -> None:
    running.nginx.is_down = True
    page = await scrape(running)
    assert (page.value("o8_part_ready", part="nginx"), page.value("o8_part_ready", part="database")) == (0, 1)


@pytest.mark.slow
async def test_a_database_that_hangs_delays_the_page_for_a_moment_and_is_told(
    running: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(figures, "LIMIT_S", 0.3)
    goes_on = threading.Event()

    def hang(db: Database) -> None:
        goes_on.wait(30)

    hanging = asyncio.create_task(running.services.store.read(hang))
    try:
        await asyncio.sleep(0)
        found = await running.services.figures.read()
    finally:
        goes_on.set()
        await hanging
    assert (found.counted, found.runs) == (None, None)
    assert "no answer" in found.parts["database"]
    assert "cannot be read: no answer within 0.3 s" in caplog.text
    assert "o8_service_up" in await scrape(running)  # it heals
