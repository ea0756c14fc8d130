"""What a log costs that many people follow: `make bench-logs`. 200 readers, and 5,000 lines in a second.

The readers are a process of their own (`lab.log_readers`); meanwhile this one asks for the status 20 times a second.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from pathlib import Path
from subprocess import PIPE
from typing import Any, NamedTuple

import aiohttp
import docker
import orjson

from lab import results
from lab.house import House, house
from lab.images import busybox_image
from lab.log_streams import followers
from lab.registry import PASSWORD, USER

SERVICE = f"logs{os.getpid()}"
TICK_US, PER_TICK = 20_000, 110  # a tick takes 21.7 ms with what busybox needs itself
WRITE = (
    'echo ok > /www/index.html; httpd -p 8080 -h /www; trap "exit 0" TERM; (while :; do usleep {tick}; echo; done | '
    'awk \'{{ for (i = 0; i < {lines}; i++) printf "line %09d the quick brown fox jumps over the lazy d\\n", n++; '
    "fflush() }}') & wait"
)
ASKED_PER_S = 20
LIMIT_MB, LIMIT_P99_MS = 200, 100


class Measured(NamedTuple):
    report: dict[str, Any]  # see `lab.log_readers.Report`
    streams: int  # of Docker
    peak_mb: float
    cpu_s: float
    status_ms: list[float]


async def measure(readers: int, seconds: float) -> Measured:
    async with house() as home:
        await home.start()
        script = WRITE.format(tick=TICK_US, lines=PER_TICK)
        busybox_image(
            home.engine_host, home.registry.image(f"acme/{SERVICE}"), "0001", script=script, account=(USER, PASSWORD)
        )
        await home.apply(SERVICE, health={"path": "/", "within": 20}, watch=0)
        ended = await home.ended((await home.deploy(SERVICE, "0001"))["id"])
        if ended["state"] != "succeeded":
            raise RuntimeError(f"{SERVICE} ended as {ended['state']}: {ended['error']}")
        token = (await home.post("/tokens", name="bench"))["secret"]
        counts = (readers // 2, readers // 4, readers // 4)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "lab.log_readers", str(home.port), SERVICE, token, str(seconds), *map(str, counts),
            stdout=PIPE, cwd=Path(__file__).parent.parent,
        )  # fmt: skip
        if process.stdout is None or await process.stdout.readline() != b"ready\n":
            raise RuntimeError("the readers ended instead of reading")
        before, streams = _cpu_s(home), _streams(home)
        asking = asyncio.create_task(_ask(home.port, token))
        report = orjson.loads(await process.stdout.readline())
        asking.cancel()
        measured = Measured(report, streams, _peak_mb(home), _cpu_s(home) - before, _STATUS_MS)
        await process.wait()
        return measured


_STATUS_MS: list[float] = []


async def _ask(port: int, token: str) -> None:
    """Asks for the status at a steady pace, whether or not the last answer has come."""

    async def once() -> None:
        began = time.perf_counter()
        async with session.get(f"http://127.0.0.1:{port}/api/v1/status", headers=head) as answer:
            await answer.read()
            if answer.status != 200:
                raise RuntimeError(f"the status answers {answer.status}")
        _STATUS_MS.append(1000 * (time.perf_counter() - began))

    head = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
        while True:
            group.create_task(once())
            await asyncio.sleep(1 / ASKED_PER_S)


def _streams(home: House) -> int:
    client = docker.APIClient(home.engine_host)
    (container,) = client.containers(filters={"label": f"o8.service={SERVICE}"})
    client.close()
    return followers(home.engine_host, container["Id"])


def _of(home: House, file: str) -> str:
    if home.process is None:
        raise RuntimeError("o8 does not run")
    return Path(f"/proc/{home.process.pid}/{file}").read_text()


def _peak_mb(home: House) -> float:
    (line,) = [line for line in _of(home, "status").splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) / 1024


def _cpu_s(home: House) -> float:
    times = _of(home, "stat").rpartition(")")[2].split()
    return (int(times[11]) + int(times[12])) / os.sysconf("SC_CLK_TCK")  # utime and stime: proc(5)


def table(readers: int, found: Measured) -> str:
    report, status = found.report, sorted(found.status_ms)
    rate = report["numbers"] / report["seconds"]
    p50, p99 = status[len(status) // 2], status[int(len(status) * 0.99)]
    is_whole = not (report["lost"] or report["doubled"] or report["ended"])
    is_met = is_whole and found.streams == 1 and found.peak_mb < LIMIT_MB and p99 < LIMIT_P99_MS
    return "\n".join((
        f"readers (half text, a quarter events, a quarter WebSockets)   {readers:>12}",
        f"seconds                                                       {report['seconds']:>12.1f}",
        f"lines that the service wrote in a second                      {rate:>12,.0f}",
        f"lines that readers got, in all                                {report['lines']:>12,}",
        f"lines lost                                                    {report['lost']:>12,}",
        f"lines doubled                                                 {report['doubled']:>12,}",
        f"readers cut off                                               {report['ended']:>12}",
        f"lines that the slowest reader was behind at the end           {report['behind']:>12,}",
        f"a line reaches a reader after (ms), p50                       {report['late_ms'][0]:>12.0f}",
        f"                                    p99                       {report['late_ms'][1]:>12.0f}",
        f"streams of Docker                                             {found.streams:>12}",
        f"o8's peak memory (MB)                                         {found.peak_mb:>12.1f}",
        f"o8's share of one core (%)                                    {100 * found.cpu_s / report['seconds']:>12.0f}",
        f"answers to `GET /api/v1/status` meanwhile                     {len(status):>12}",
        f"                                    p50 (ms)                  {p50:>12.1f}",
        f"                                    p99 (ms)                  {p99:>12.1f}",
        "",
        f"asked for: one stream, nothing lost, doubled or cut off, under {LIMIT_MB} MB, status under {LIMIT_P99_MS} ms "
        f"(p99); {'met' if is_met else 'NOT met'}",
    ))  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--readers", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--dry", action="store_true", help="print only, for a try")
    arguments = parser.parse_args()
    text = table(arguments.readers, asyncio.run(measure(arguments.readers, arguments.seconds)))
    if arguments.dry:
        print(text)
    else:
        results.write("logs", "make bench-logs", text)
