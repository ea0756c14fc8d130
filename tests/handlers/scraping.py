"""An o8 that is scraped: one service live on two replicas, and the page read back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

from bot.engines import Usage
from lab.certificates import identity, keep
from lab.waiting import until
from tests.small_house import House, open_house

MIB = 1024 * 1024
SECRET = "s" * 32


@dataclass(frozen=True)
class Page:
    """One scrape, read back."""

    families: dict[str, Metric]

    @classmethod
    def read(cls, text: str) -> Page:
        return cls({family.name: family for family in text_string_to_metric_families(text)})

    def __contains__(self, name: str) -> bool:
        return bool(self.labels(name))

    def value(self, name: str, **labels: str) -> float:
        """Of the one sample with exactly these labels."""
        found = [s.value for f in self.families.values() for s in f.samples if s.name == name and s.labels == labels]
        assert len(found) == 1, f"{name} {labels}: {found}"
        return found[0]

    def labels(self, name: str) -> list[dict[str, str]]:
        return [s.labels for f in self.families.values() for s in f.samples if s.name == name]

    @property
    def names(self) -> set[str]:
        """Of samples, such as `o8_deployments_total`, `o8_deployment_step_seconds_bucket`."""
        return {sample.name for family in self.families.values() for sample in family.samples}


async def scrape(house: House) -> Page:
    async with house.client.get("http://o8/metrics") as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        return Page.read(await answer.text())


@asynccontextmanager
async def watched(house: House) -> AsyncIterator[House]:
    """`house` with `web` 0001 live on two replicas, its observer at work."""
    watching = asyncio.create_task(house.services.observer.run())
    await house.services.worker.start()
    await house.add(replicas=2, domains=["web.test"], site={"tls": "auto"})
    keep(house.services.settings.certificates_dir, "web", identity("web.test", quick=True))
    await house.deployed()
    await seen(house, 2)
    yield house
    watching.cancel()
    await asyncio.wait([watching])


async def seen(house: House, running: int) -> None:
    """Returns when the observer knows of so many running replicas of `web`."""

    async def look() -> bool:
        found = house.services.observer.replicas("web")
        return sum(replica.state == "running" for replica in found) == running

    await until(look)


async def measure(house: House) -> None:
    """Each replica uses 100 MiB of 512. Twice: only then it is known what is used."""
    house.engine.used = {f"web-b-{number}": Usage(10, 100 * MIB, 512 * MIB) for number in range(2)}
    for _ in range(2):
        await house.services.observer.measure()
        await asyncio.sleep(0.01)


async def full_page(folder: Path) -> Page:
    """A page with every family that o8 knows."""
    async with open_house(folder, github_webhook_secret=SECRET, slack_bot_token="xoxb-1") as house, watched(house):
        await measure(house)
        return await scrape(house)
