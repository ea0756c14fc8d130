"""How soon lists answer on a machine with many services: `make bench-listing`. One request at a time, over TCP.

o8 is real but for Docker, nginx and the registry (tests/small_house.py), which count what they are asked. Who asks is
another process. An empty request (`/healthz`) beside it says how busy the machine was.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import http.client
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import orjson
from sqlite_utils import Database

from bot.configuration import read
from bot.engines import Replica, Usage
from bot.models import SLOTS, Address, Kind, Wanted
from bot.passwords import Passwords
from bot.permissions import GLOBAL, Action
from bot.store.deployments import want
from lab import results
from tests.small_house import House, open_house

SERVICES, RELEASES, REQUESTS = 200, 8, 500
P50_MS = 50
USER, PASSWORD = "ada", "a password for the benchmark"
STEPS = ("resolving", "pulling", "starting", "checking", "switching", "draining", "watching")
PATHS = ("/services", "/api/v1/status", "/api/v1/services", "/api/v1/deployments?limit=100")
EMPTY = "/healthz"


class Row(NamedTuple):
    """One kind of request: seconds that each took, and the bytes of the answer."""

    name: str
    taken: list[float]
    size: int


class Result(NamedTuple):
    """`asked`: what was asked of Docker and the registry meanwhile."""

    services: int
    rows: list[Row]
    asked: Counter[str]


async def measure(services: int, requests: int) -> Result:
    with tempfile.TemporaryDirectory(prefix="o8-listing-") as folder:
        async with filled(Path(folder), services) as house:
            asked = counted(house)
            await house.services.observer.look()
            if asked != {"observe": 1}:
                raise RuntimeError(f"what is asked is not counted: {asked}")
            asked.clear()
            url = await house.open_to_all()
            _, secret = await house.services.store.add_token(USER, "bench", None, None)
            basic = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
            calls = [(EMPTY, "nobody", ""), *((path, "a token", f"Bearer {secret}") for path in PATHS)]
            calls.insert(1, (PATHS[0], "a password", basic))
            rows = [await _row(url, *call, requests) for call in calls]
            return Result(services, rows, asked)


@asynccontextmanager
async def filled(folder: Path, services: int) -> AsyncIterator[House]:
    """A house with that many services, each with releases and a replica that runs and was measured."""
    async with open_house(folder) as house:
        store, words = house.services.store, Passwords()
        await store.add_user(USER, await words.rehash(PASSWORD), [(Action.ADMIN, GLOBAL)], "o8")
        words.close()
        for number in range(services):
            name = f"service-{number:03}"
            file = {"name": name, "image": f"ghcr.io/acme/{name}", "port": 8080, "domains": [f"{name}.example.org"]}
            await store.apply(read(file), 4000)
            house.engine.replicas[name, "a"] = [_replica(name)]
            house.engine.used[f"{name}-a-0"] = Usage(number / 10, 50_000_000, 512_000_000)
        await store.write(lambda db: _history(db, services))
        await house.services.observer.look()
        for _ in range(2):
            await house.services.observer.measure()
        yield house


def _replica(service: str) -> Replica:
    return Replica(
        id=f"{service}-a-0", name=f"o8-{service}-a-0", service=service, slot="a", index=0, deployment=1,
        address=Address("127.0.0.1", 8080), state="running", health="healthy", exit_code=0, is_oom_killed=False,
        restarts=0, started_at=datetime.now(UTC) - timedelta(hours=3),
    )  # fmt: skip


def _history(db: Database, services: int) -> None:
    """Releases with all their steps; the last one of each serves, in slot a."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    for release in range(RELEASES):
        for number in range(services):
            name, digest = f"service-{number:03}", f"sha256:{number:032x}{release:032x}"
            id = want(db, Wanted(service=name, kind=Kind.DEPLOY, actor="user:ada", tag=f"{release:04}")).id
            db.execute(
                """UPDATE deployments SET state = 'succeeded', digest = ?, slot = ?, started_at = ?, switched_at = ?,
                    finished_at = ? WHERE id = ?""",
                [digest, SLOTS[(RELEASES - 1 - release) % 2], now, now, now, id],
            )
            db.execute("UPDATE services SET live = ? WHERE name = ?", [id, name])
            detail = orjson.dumps({"digest": digest, "bytes": 40_000_000}).decode()
            for step in STEPS:
                values = [id, step, now, now, detail]
                db.execute("INSERT INTO steps (deployment, state, started_at, ended_at, detail) VALUES (?, ?, ?, ?, ?)",
                           values)  # fmt: skip
            db.execute("INSERT OR REPLACE INTO newest VALUES (?, ?, ?, ?)", [name, f"{release:04}", digest, now])


def counted(house: House) -> Counter[str]:
    """From now on what Docker and the registry are asked is counted."""
    asked: Counter[str] = Counter()
    for part, names in (
        (house.engine, ("observe", "usage", "log", "has_image", "foreign_images", "facts")),
        (house.registry, ("tags", "resolve", "created")),
    ):
        for name in names:
            setattr(part, name, _counting(asked, name, getattr(part, name)))
    return asked


def _counting(asked: Counter[str], name: str, method: Any) -> Any:
    def counted(*arguments: Any, **options: Any) -> Any:
        asked[name] += 1
        return method(*arguments, **options)

    return counted


async def _row(url: str, path: str, who: str, authorization: str, requests: int) -> Row:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "lab.bench_listing", "--ask", url + path, "--authorization", authorization,
        "--requests", str(requests), cwd=results.ROOT, stdout=subprocess.PIPE,
    )  # fmt: skip
    output, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"{path} could not be asked")
    found = json.loads(output)
    return Row(f"{path} ({who})", found["taken"], found["size"])


def ask(url: str, authorization: str, requests: int) -> dict[str, Any]:
    """Seconds that each of `requests` took over one connection, after one that is not counted."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=30)
    taken, size = [], 0
    for number in range(requests + 1):
        begin = time.perf_counter()
        connection.request(
            "GET", url.removeprefix(f"http://{parts.netloc}"), headers={"Authorization": authorization or "-"}
        )
        answer = connection.getresponse()
        size = len(answer.read())
        if number:
            taken.append(time.perf_counter() - begin)
        if answer.status != 200:
            raise RuntimeError(f"{url}: {answer.status}")
    return {"taken": taken, "size": size}


def table(result: Result) -> str:
    base = _at(result.rows[0].taken, 0.5)
    lines = [
        f"milliseconds until a list is whole at the client, {result.services} services with {RELEASES} releases each",
        "",
        f"{'':<46}{'requests':>9}{'p50':>8}{'p95':>8}{'p99':>8}{'x empty':>9}{'kB':>7}",
    ]
    for row in result.rows:
        p50, p95, p99 = (_at(row.taken, share) for share in (0.5, 0.95, 0.99))
        lines.append(
            f"{row.name:<46}{len(row.taken):>9}{p50:>8.1f}{p95:>8.1f}{p99:>8.1f}{p50 / base:>9.1f}"
            f"{row.size / 1e3:>7.0f}"
        )
    listing = max(_at(row.taken, 0.5) for row in result.rows if row.name.startswith("/services"))
    is_met = listing < P50_MS and not result.asked
    asked = ", ".join(f"{count} x {name}" for name, count in result.asked.items()) or "nothing"
    return "\n".join((
        *lines, "",
        f"asked of Docker and the registry meanwhile: {asked}",
        f"asked for: p50 of /services under {P50_MS} ms and nothing asked of Docker or the registry; "
        f"{'met' if is_met else 'NOT met'}",
    ))  # fmt: skip


def _at(taken: Sequence[float], share: float) -> float:
    """A percentile, in milliseconds."""
    return 1000 * sorted(taken)[min(int(len(taken) * share), len(taken) - 1)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--services", type=int, default=SERVICES)
    parser.add_argument("--requests", type=int, default=REQUESTS)
    parser.add_argument("--ask", help="used by itself: asks this URL and prints the times")
    parser.add_argument("--authorization", default="")
    arguments = parser.parse_args()
    if arguments.ask:
        print(json.dumps(ask(arguments.ask, arguments.authorization, arguments.requests)))
    else:
        measured = asyncio.run(measure(arguments.services, arguments.requests))
        results.write("listing", "make bench-listing", table(measured))
