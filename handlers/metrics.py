"""GET /metrics: what o8 counts and what runs, for Prometheus. docs/metrics.md names every family.

To add one: a field in `bot/figures.py`, a family here. Names follow https://prometheus.io/docs/practices/naming/; what
can be said with a zero is said from the start, so that the first of anything is seen as an increase.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from aiohttp import hdrs, web

from bot.figures import Counted, Reading, Run
from bot.models import ENDINGS, State
from bot.pem import Standing
from bot.permissions import Action
from bot.services import Services
from bot.version import version
from handlers.access import globally, guarded, public

if TYPE_CHECKING:  # the library is imported with the first request: who has no Prometheus does not carry it
    from prometheus_client.core import Metric

PATH = "/metrics"
VERDICTS = ("accepted", "ignored", "duplicate", "failed", "refused")
Rows = Iterable[tuple[Sequence[str], float]]


def routes(services: Services) -> list[web.RouteDef]:
    """For who may see the state of every service: a token with `view_status` in `global` is enough."""
    page = _Page(services)
    return [web.get(PATH, guarded(services, globally(Action.VIEW_STATUS), page.answer))]


def open_routes(services: Services) -> list[web.RouteDef]:
    """For a server of its own at METRICS_BIND: who reaches it may read."""
    return [web.get(PATH, public(_Page(services).answer))]


class _Page:
    def __init__(self, services: Services) -> None:
        self._figures = services.figures

    async def answer(self, request: web.Request) -> web.Response:
        reading = await self._figures.read()
        wants_open = "application/openmetrics-text" in request.headers.get(hdrs.ACCEPT, "")
        # Off the event loop: thousands of lines, and at the first time the library.
        body, content_type = await asyncio.to_thread(_written, reading, wants_open=wants_open)
        return web.Response(body=body, headers={hdrs.CONTENT_TYPE: content_type})


def _written(reading: Reading, *, wants_open: bool) -> tuple[bytes, str]:
    """The page and its type: OpenMetrics, or the text format that everybody reads."""
    from prometheus_client import exposition, openmetrics
    from prometheus_client.registry import Collector

    class Families(Collector):
        def collect(self) -> Iterable[Metric]:
            return _families(reading)

    if wants_open:
        body: bytes = openmetrics.exposition.generate_latest(Families())  # type: ignore[no-untyped-call]
        return body, openmetrics.exposition.CONTENT_TYPE_LATEST
    return exposition.generate_latest(Families()), exposition.CONTENT_TYPE_PLAIN_0_0_4


def _families(reading: Reading) -> Iterator[Metric]:
    from prometheus_client import ProcessCollector

    yield _info("o8_build", "Which o8 this is.", [], [({}, {"version": version()})])
    yield _gauge("o8_part_ready", "1 when the part answers: Docker, nginx, the database, Slack.", ["part"],
                 (([part], not why) for part, why in reading.parts.items()))  # fmt: skip
    yield _counter("o8_nginx_reloads", "How often nginx was told to load its files anew.", [],
                   [([], reading.reloads)])  # fmt: skip
    if reading.counted:
        yield from _counted(reading.counted, reading.refused_deliveries)
    if reading.runs is not None:
        yield from _running(reading.runs)
    if reading.certificates is not None:
        yield from _certificates(reading.certificates)
    yield from ProcessCollector(registry=None).collect()


def _counted(found: Counted, refused: int) -> Iterator[Metric]:
    verdicts = dict.fromkeys(VERDICTS, 0) | found.deliveries | {"refused": refused}
    yield _counter("o8_deliveries", "Webhooks by what came of them; refused: not signed with our secret.", ["verdict"],
                   (([verdict], count) for verdict, count in verdicts.items()))  # fmt: skip
    yield _counter("o8_deployments", "Deployments that ended, by ending.", ["ending"],
                   (([ending], found.endings.get(ending, 0)) for ending in sorted(ENDINGS)))  # fmt: skip
    yield _gauge("o8_deployments_unfinished", "Deployments that have not ended, by state.", ["state"],
                 (([state], found.unfinished.get(state, 0)) for state in State if not state.is_ending))  # fmt: skip
    yield _histogram(found)
    if found.cards:
        count, seconds = found.cards
        yield _gauge("o8_cards_behind", "Slack messages that do not show what is true now.", [], [([], count)])
        yield _gauge("o8_card_lag_seconds", "How long the oldest of them has not.", [], [([], seconds)])
    yield _info("o8_service", "What serves.", ["service"],
                (({"service": each.service}, {"image": each.image, "release": each.release})
                 for each in found.serving))  # fmt: skip
    yield _gauge("o8_service_replicas_wanted", "Replicas that should run; 0 when it was stopped.", ["service"],
                 (([each.service], each.replicas) for each in found.serving))  # fmt: skip
    yield _gauge("o8_service_needs_attention", "1 when o8 could not put its last deployment right.", ["service"],
                 (([each.service], each.needs_attention) for each in found.serving))  # fmt: skip


def _running(runs: tuple[Run, ...]) -> Iterator[Metric]:
    labels = ["service"]
    used = [(run.serving.service, run.use) for run in runs if run.use]
    yield _gauge("o8_service_up", "1 when all replicas that should run do, and none is unhealthy.", labels,
                 (([run.serving.service], run.is_well) for run in runs if run.serving.replicas))  # fmt: skip
    yield _gauge("o8_service_replicas", "Replicas of what serves that run.", labels,
                 (([run.serving.service], run.replicas) for run in runs))  # fmt: skip
    yield _gauge("o8_service_cpu_cores", "Processors in use by all replicas; 1 is one of them.", labels,
                 (([service], use.cpus) for service, use in used))  # fmt: skip
    yield _gauge("o8_service_memory_bytes", "Memory in use by all replicas, without cached files.", labels,
                 (([service], use.memory_bytes) for service, use in used if use.memory_bytes))  # fmt: skip
    yield _gauge("o8_service_memory_limit_bytes", "Memory that all replicas together may use.", labels,
                 (([service], use.memory_limit) for service, use in used if use.memory_limit))  # fmt: skip


def _certificates(standings: tuple[Standing, ...]) -> Iterator[Metric]:
    known = [(standing, standing.certificate) for standing in standings if standing.certificate]
    yield _gauge("o8_certificate_not_after_seconds", "When the certificate ends, as Unix time.", ["service", "source"],
                 (([each.service, each.source], found.ends.timestamp()) for each, found in known))  # fmt: skip
    yield _gauge("o8_certificate_missing", "1 while some name of the service has no certificate, and should have one.",
                 ["service"], (([each.service], each.level() == "missing") for each in standings
                               if each.source == "auto"))  # fmt: skip


def _counter(name: str, what: str, labels: Sequence[str], rows: Rows) -> Metric:
    """`name` without `_total`."""
    from prometheus_client.core import CounterMetricFamily

    family = CounterMetricFamily(name, what, labels=labels)
    for values, count in rows:
        family.add_metric(values, count)
    return family


def _gauge(name: str, what: str, labels: Sequence[str], rows: Rows) -> Metric:
    from prometheus_client.core import GaugeMetricFamily

    family = GaugeMetricFamily(name, what, labels=labels)
    for values, number in rows:
        family.add_metric(values, number)
    return family


def _info(name: str, what: str, labels: Sequence[str], rows: Iterable[tuple[dict[str, str], dict[str, str]]]) -> Metric:
    """`name` without `_info`; each row: its labels, and what is told about it."""
    from prometheus_client.core import InfoMetricFamily

    family = InfoMetricFamily(name, what, labels=labels)
    for values, told in rows:
        family.add_metric([values[label] for label in labels], told)
    return family


def _histogram(found: Counted) -> Metric:
    from prometheus_client.core import HistogramMetricFamily

    family = HistogramMetricFamily("o8_deployment_step_seconds", "How long each step took.", labels=["step"])
    for step, each in found.steps.items():
        buckets = [(str(float(limit)), float(count)) for limit, count in each.buckets]
        family.add_metric([step], [*buckets, ("+Inf", float(each.total))], each.seconds)
    return family
