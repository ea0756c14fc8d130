"""What o8 costs while nothing happens: `make bench-idle`. Resident memory and processor time with 20 live services."""

from __future__ import annotations

import argparse
import asyncio
import os
from pathlib import Path
from typing import NamedTuple

from lab import results
from lab.house import House, house
from lab.images import busybox_image
from lab.registry import PASSWORD, USER

LIMIT_MB, LIMIT_CPU = 80, 0.01


class Usage(NamedTuple):
    resident_mb: float
    peak_mb: float
    cpu_s: float


async def measure(services: int, seconds: float) -> tuple[Usage, Usage]:
    """Usage at the beginning and at the end of `seconds` of idleness."""
    async with house() as home:
        await home.start()
        for number in range(services):
            await _add(home, f"idle{os.getpid()}-{number}")
        before = _usage(home)
        await asyncio.sleep(seconds)
        return before, _usage(home)


async def _add(home: House, name: str) -> None:
    repository = home.registry.image(f"acme/{name}")
    busybox_image(home.engine_host, repository, "0001", account=(USER, PASSWORD))
    await home.apply(name, health={"path": "/", "within": 20}, watch=0)
    ended = await home.ended((await home.deploy(name, "0001"))["id"])
    if ended["state"] not in ("succeeded", "unchanged"):
        raise RuntimeError(f"{name} ended as {ended['state']}: {ended['error']}")


def _usage(home: House) -> Usage:
    if home.process is None:
        raise RuntimeError("o8 does not run")
    folder = Path(f"/proc/{home.process.pid}")
    sizes = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines() if ":" in line)
    times = (folder / "stat").read_text().rpartition(")")[2].split()
    ticks = int(times[11]) + int(times[12])  # utime and stime: proc(5)
    return Usage(_mb(sizes["VmRSS"]), _mb(sizes["VmHWM"]), ticks / os.sysconf("SC_CLK_TCK"))


def _mb(text: str) -> float:
    return int(text.split()[0]) / 1024


def table(services: int, seconds: float, before: Usage, after: Usage) -> str:
    share = (after.cpu_s - before.cpu_s) / seconds
    is_met = after.resident_mb < LIMIT_MB and share < LIMIT_CPU
    return "\n".join((
        f"services                 {services:>8}",
        f"idle for (s)             {seconds:>8.0f}",
        f"resident memory (MB)     {after.resident_mb:>8.1f}   at the beginning {before.resident_mb:.1f}",
        f"peak memory (MB)         {after.peak_mb:>8.1f}",
        f"share of one core (%)    {100 * share:>8.2f}",
        "",
        f"asked for: under {LIMIT_MB} MB resident and under {100 * LIMIT_CPU:.0f} % of a core; "
        f"{'met' if is_met else 'NOT met'}",
    ))  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--services", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=180)
    arguments = parser.parse_args()
    before, after = asyncio.run(measure(arguments.services, arguments.seconds))
    results.write("idle", "make bench-idle", table(arguments.services, arguments.seconds, before, after))
