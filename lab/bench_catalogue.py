"""What the catalogue of a large owner costs at GitHub and here: `make bench-catalogue`.

GitHub is the stand-in of lab/github_api over TCP, with its limit and its etags, and counts what it is asked; o8 is a
process of its own, real but for Docker, nginx and the registry (tests/small_house.py).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from aiohttp import ClientTimeout
from pydantic import SecretStr

from bot.errors import GitHubUnavailable
from lab import results
from lab.github_api import TOKEN, FakeGitHub, fake_github
from tests.small_house import House, open_house

OWNER, PACKAGES, VERSIONS, REQUESTS = "acme", 300, 100, 300
LIMIT = 5000  # requests in an hour: https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api
LITTLE = 120  # that are left when the limit hits the first look
P50_MS = 50
PAGES = ("/packages", "/services/p000/versions")
_STATM = Path("/proc/self/statm")  # proc(5)
Figures = dict[str, Any]


def measure(packages: int, versions: int, little: int = LITTLE, requests: int = REQUESTS) -> Figures:
    """Everything; `little` requests are left when the limit hits, `requests` are made for each list.

    The two processes tell each other the next step by lines of text.
    """
    with fake_github() as github, tempfile.TemporaryDirectory(prefix="o8-catalogue-") as folder:
        for number in range(packages):
            tags: list[tuple[str, ...]] = [(f"{version:04}",) for version in range(versions, 0, -1)]
            github.packages[OWNER, f"p{number:03}"] = list(tags)
        with _process(github.url, folder, requests) as o8:
            found: Figures = {"packages": packages, "versions": versions, "memory before": _ask(o8, "memory")}
            found["first"] = _look(github, o8)
            found["memory after"] = _ask(o8, "memory")
            found["unchanged"] = _look(github, o8)
            github.publish(OWNER, f"p{packages // 2:03}", f"{versions + 1:04}")
            found["a push"] = _look(github, o8)
            github.is_frozen = True
            found["lists"] = _ask(o8, "lists")
            github.is_frozen = False
            found["peak"] = _ask(o8, "peak")
            found["database"] = _ask(o8, "database")
        with tempfile.TemporaryDirectory(prefix="o8-catalogue-") as another, _process(github.url, another) as o8:
            found["limited"] = _limited(github, o8, little)
        return found


def _look(github: FakeGitHub, o8: subprocess.Popen[str]) -> Figures:
    counted, asked = github.counted, len(github.asked)
    begin = time.perf_counter()
    _ask(o8, "refresh")
    seconds = time.perf_counter() - begin
    return {"counted": github.counted - counted, "asked": len(github.asked) - asked, "seconds": seconds}


def _limited(github: FakeGitHub, o8: subprocess.Popen[str], little: int) -> Figures:
    """The limit is used up in the middle of the first look; after its reset the rest is read."""
    github.counted, github.remaining, github.resets_at = 0, little, time.time() + 900
    told = _ask(o8, "refresh")
    before, refused = github.counted, github.answers[403]
    listed = _ask(o8, "listed")
    github.resets_at = time.time()
    _ask(o8, "refresh")
    return {"little": little, "wait": told, "before": before, "after": github.counted - before, "refused": refused,
            "listed before": listed, "listed after": _ask(o8, "listed")}  # fmt: skip


@contextmanager
def _process(url: str, folder: str, requests: int = 0) -> Iterator[subprocess.Popen[str]]:
    command = [
        sys.executable,
        "-m",
        "lab.bench_catalogue",
        "--serve",
        url,
        "--folder",
        folder,
        "--requests",
        str(requests),
    ]
    with subprocess.Popen(command, cwd=results.ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as o8:
        yield o8
        if o8.stdin:
            o8.stdin.close()


def _ask(o8: subprocess.Popen[str], what: str) -> Any:
    answer = ""
    if o8.stdin and o8.stdout:
        o8.stdin.write(f"{what}\n")
        o8.stdin.flush()
        answer = o8.stdout.readline()
    if not answer:
        raise RuntimeError(f"o8 ended at {what!r}")
    return json.loads(answer)


async def serve(url: str, folder: Path, requests: int) -> None:
    """Used by itself: an o8 that does what each line of standard input names, and answers with a line of JSON."""
    settings = {"github_api_url": url, "github_pat": SecretStr(TOKEN), "github_owners": OWNER}
    async with open_house(folder, **settings) as house:
        await house.add("p000", image=f"ghcr.io/{OWNER}/p000")
        steps: dict[str, Callable[[House], Awaitable[Any]]] = {
            "refresh": _refresh, "lists": partial(_lists, requests=requests), "listed": _listed, "memory": _memory,
            "peak": _peak, "database": _size,
        }  # fmt: skip
        while step := (await asyncio.to_thread(sys.stdin.readline)).strip():
            print(json.dumps(await steps[step](house)), flush=True)


async def _refresh(house: House) -> float:
    """Seconds that GitHub wants to be left alone; 0 when all was read."""
    try:
        await house.services.catalogue.refresh()
    except GitHubUnavailable as trouble:
        return trouble.retry_after
    if house.services.catalogue.trouble:
        raise RuntimeError(house.services.catalogue.trouble)
    return 0.0


async def _lists(house: House, requests: int) -> Figures:
    """Milliseconds of each list, while a look hangs in a GitHub that does not answer."""
    looking = asyncio.create_task(house.services.catalogue.run())
    await asyncio.sleep(0.5)
    taken: dict[str, list[float]] = {}
    for page in PAGES:
        for number in range(requests + 1):
            begin = time.perf_counter()
            async with house.client.get(f"http://o8/api/v1{page}", timeout=ClientTimeout(total=10)) as answer:
                await answer.read()
                answer.raise_for_status()
            if number:
                taken.setdefault(page, []).append(1000 * (time.perf_counter() - begin))
    looking.cancel()
    return {page: {"p50": _at(times, 0.5), "p99": _at(times, 0.99)} for page, times in taken.items()}


async def _listed(house: House) -> int:
    return len(await house.services.store.listed())


async def _memory(house: House) -> float:
    """Resident, in MB."""
    pages = int(_STATM.read_text().split()[1])  # noqa: ASYNC240 - on no disk
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


async def _peak(house: House) -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def _size(house: House) -> float:
    """Of database and log, in MB."""
    return sum(path.stat().st_size for path in house.folder.glob("o8.sqlite*")) / 2**20


def _at(times: list[float], share: float) -> float:
    return sorted(times)[min(int(len(times) * share), len(times) - 1)]


def table(found: Figures) -> str:
    looks = [("first look", found["first"]), ("nothing changed", found["unchanged"]), ("one push", found["a push"])]
    limited = found["limited"]
    worst = max(each["p50"] for each in found["lists"].values())
    is_met = (
        found["first"]["counted"] <= LIMIT and found["unchanged"]["counted"] == 0 and worst < P50_MS
        and limited["wait"] > 0 and limited["listed after"] == found["packages"]
    )  # fmt: skip
    return "\n".join((
        f"{found['packages']} packages with {found['versions']} versions each, of one owner; limit {LIMIT} an hour",
        "",
        f"{'':<22}{'requests':>10}{'counted':>10}{'seconds':>10}",
        *(f"{name:<22}{each['asked']:>10}{each['counted']:>10}{each['seconds']:>10.2f}" for name, each in looks),
        "",
        f"limit used up after {limited['little']} requests: GitHub asked for {limited['wait']:.0f} s of peace, which "
        f"{limited['refused']} refused request told;",
        f"then {limited['listed before']} packages were known, and after the reset {limited['listed after']}, for "
        f"{limited['before']} + {limited['after']} counted requests",
        "",
        "while GitHub takes requests and never answers, milliseconds until a list is whole at the client:",
        *(f"{page:<30}p50 {each['p50']:>7.1f}   p99 {each['p99']:>7.1f}" for page, each in found["lists"].items()),
        "",
        f"resident memory (MB): {found['memory before']:.1f} before, {found['memory after']:.1f} after the first look, "
        f"{found['peak']:.1f} at most; database {found['database']:.1f} MB",
        "",
        f"asked for: the first look within {LIMIT} counted requests, none for what has not changed, all read after a "
        f"limit, p50 of lists under {P50_MS} ms; {'met' if is_met else 'NOT met'}",
    ))  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packages", type=int, default=PACKAGES)
    parser.add_argument("--versions", type=int, default=VERSIONS)
    parser.add_argument("--serve", help="used by itself: an o8 that reads the catalogue of this GitHub")
    parser.add_argument("--folder", type=Path, default=Path())
    parser.add_argument("--requests", type=int, default=REQUESTS)
    arguments = parser.parse_args()
    if arguments.serve:
        asyncio.run(serve(arguments.serve, arguments.folder, arguments.requests))
    else:
        measured = measure(arguments.packages, arguments.versions, requests=arguments.requests)
        results.write("catalogue", "make bench-catalogue", table(measured))
