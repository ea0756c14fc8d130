"""Deliveries while o8 is killed at its own writes and syncs: `make torture`, or `python -m lab.torture --kills 250`.

Each o8 gets SIGKILL at a random call of one kind (`strace --inject`), or at a random time. What was not acknowledged
is delivered again, as people at GitHub would. In the end every acknowledged delivery must be in the database as
it was answered, with the deployments it asked for.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import shutil
import signal
import sqlite3
import sys
import time
from collections import deque
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp

from lab import github, results
from lab.house import SERVE, House, house
from lab.images import busybox_image
from lab.registry import PASSWORD, USER
from lab.waiting import until

# Calls of one kind that a start and about seventy deliveries make in the thread that makes most of them.
CALLS = {"pwrite64": 1500, "fdatasync": 80, "write": 24}
ANY_TIME, LONGEST_S = "any time", 1.5
SENDERS = 8
# Deliveries for `moving` name tags that it does not follow, so each of them needs a look at the registry.
SERVICES: dict[str, dict[str, Any]] = {
    "on": {},
    "approve": {"follow": {"auto_deploy": "approve"}},
    "moving": {"follow": {"policy": "tag", "tag": "main", "auto_deploy": "approve"}},
}
TARGETS = ("on", "on", "approve", "approve", "moving", "unknown")


class Blow(NamedTuple):
    """Where o8 is killed: at the `when`th `call`, or after `when` milliseconds."""

    call: str
    when: int

    @property
    def command(self) -> tuple[str, ...]:
        if self.call == ANY_TIME:
            return SERVE
        what = (f"--trace={self.call}", f"--inject={self.call}:signal=SIGKILL:when={self.when}")
        return ("strace", "-f", "-qq", "-o", "/dev/null", *what, *SERVE)


class Delivery(NamedTuple):
    id: str
    target: str
    body: bytes


@dataclass
class Row:
    """What was seen with blows of one kind. `unanswered`: sent, and the connection ended without an answer."""

    kills: int = 0
    at_start: int = 0
    acknowledged: int = 0
    unanswered: int = 0

    def add(self, life: Row) -> None:
        self.kills += life.kills
        self.at_start += life.at_start
        self.acknowledged += life.acknowledged
        self.unanswered += life.unanswered


class Campaign:
    def __init__(self, home: House, seed: int) -> None:
        self.home = home
        self.rows = {call: Row() for call in (*CALLS, ANY_TIME)}
        self.answers: dict[str, tuple[str, github.Answer]] = {}  # by delivery: its target, and what o8 said
        self._again: deque[Delivery] = deque()
        self._random = random.Random(seed)  # noqa: S311 - it must be repeatable
        self._number = 0

    async def kill(self) -> None:
        """One life of o8, from its start to its end."""
        call = self._random.choice(list(self.rows))
        limit = CALLS.get(call, int(LONGEST_S * 1000))
        blow, life = Blow(call, self._random.randint(1, limit)), Row(1)
        try:
            await self.home.start(blow.command)
        except RuntimeError:  # it ended before it answered
            life.at_start = 1
        else:
            senders = [asyncio.create_task(self._send(life)) for _ in range(SENDERS)]
            try:
                await self.home.died(blow.when / 1000 if call == ANY_TIME else LONGEST_S)
            except TimeoutError:
                call = ANY_TIME  # it did not get so far
            self.end()
            await asyncio.gather(*senders)
        self.rows[call].add(life)

    def end(self) -> None:
        """SIGKILL, also to the o8 below strace, which it would survive."""
        pid = self.home.process.pid if self.home.process else 0
        with suppress(OSError):
            for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
                if b"\0serve" in Path(f"/proc/{child}/cmdline").read_bytes():
                    os.kill(int(child), signal.SIGKILL)
        self.home.kill()

    async def finish(self) -> None:
        """A normal start; what is still unacknowledged is delivered, and what was left to do gets done."""
        await self.home.start()
        while self._again:
            await self._deliver(self._again.popleft(), Row())

        async def are_all_done() -> bool:
            return not _rows(self.home, "SELECT id FROM deliveries WHERE processed_at IS NULL")

        await until(are_all_done, 60)
        await asyncio.to_thread(self.home.stop)

    async def _send(self, row: Row) -> None:
        while await self._deliver(self._again.popleft() if self._again else self._next(), row):
            pass

    async def _deliver(self, delivery: Delivery, row: Row) -> bool:
        """False when o8 is gone; then the delivery waits for the next one."""
        url = f"http://127.0.0.1:{self.home.port}/webhooks/github"
        try:
            answer = await github.deliver(url, self.home.secret, delivery.body, delivery=delivery.id)
        except aiohttp.ClientConnectorError:
            self._again.append(delivery)
            return False
        except (aiohttp.ClientError, ConnectionError, TimeoutError):
            row.unanswered += 1
            self._again.append(delivery)
            return False
        if answer.status not in (200, 202):
            raise RuntimeError(f"{answer} to {delivery.id}")
        row.acknowledged += 1
        self.answers[delivery.id] = (delivery.target, answer)
        return True

    def _next(self) -> Delivery:
        self._number += 1
        target = self._random.choice(TARGETS)
        body = github.encode(github.push(self.home.registry.image(f"acme/{target}"), f"{self._number:06}"))
        return Delivery(f"torture-{self._number}", target, body)


def lost(campaign: Campaign) -> list[str]:
    """Sentences about what is not in the database as o8 has acknowledged it."""
    rows = _rows(campaign.home, "SELECT id, verdict, accepted FROM deliveries")
    known = {id: (verdict, json.loads(accepted)) for id, verdict, accepted in rows}
    deployed = {id for (id,) in _rows(campaign.home, "SELECT delivery FROM deployments")}
    found = []
    for id, (target, answer) in campaign.answers.items():
        verdict, accepted = known.get(id, ("absent", []))
        if not _is_as_answered(answer, verdict, accepted):
            found.append(f"{id}: answered {answer}, on disk {verdict} {accepted}")
        if verdict == "accepted" and target != "moving" and id not in deployed:
            found.append(f"{id}: accepted for {accepted}, but there is no deployment")
    return found


def _is_as_answered(answer: github.Answer, verdict: str, accepted: list[str]) -> bool:
    if _is_duplicate(answer):  # taken before, and the connection ended before the answer
        return verdict in ("accepted", "ignored")
    return (verdict, accepted) == ("accepted" if answer.status == 202 else "ignored", answer.body["accepted"])


def _is_duplicate(answer: github.Answer) -> bool:
    return bool(answer.body["ignored"] == ["duplicate"])


def report(campaign: Campaign, missing: list[str], took_s: float) -> str:
    lines = [f"{'killed at':<12}{'kills':>7}{'at start':>10}{'acknowledged':>14}{'unanswered':>12}"]
    for call, row in campaign.rows.items():
        counts = f"{row.kills:>7,}{row.at_start:>10,}{row.acknowledged:>14,}{row.unanswered:>12,}"
        lines.append(f"{call:<12}{counts}")
    answers = [answer for _, answer in campaign.answers.values()]
    accepted, on_disk = sum(answer.status == 202 for answer in answers), sum(map(_is_duplicate, answers))
    kills, unanswered = (sum(getattr(row, name) for row in campaign.rows.values()) for name in ("kills", "unanswered"))
    lines += [
        "",
        f"{kills:,} kills in {took_s:.0f} s",
        f"{len(answers):,} deliveries acknowledged, {accepted:,} of them accepted",
        f"{unanswered:,} sent without getting an answer and delivered again; {on_disk:,} of them were on disk already",
        f"{len(missing):,} acknowledged but not on disk as answered",
        f"database: {', '.join(text for (text,) in _rows(campaign.home, 'PRAGMA integrity_check'))}",
        *missing[:20],
    ]
    return "\n".join(lines)


async def run(kills: int, seed: int) -> bool:
    """Whether nothing was lost."""
    async with house() as home:
        await _move_in(home)
        campaign, began = Campaign(home, seed), time.monotonic()
        for _ in range(kills):
            await campaign.kill()
        await campaign.finish()
        missing = lost(campaign)
        command = f"python -m lab.torture --kills {kills} --seed {seed}"
        results.write("torture", command, report(campaign, missing, time.monotonic() - began))
        return not missing


async def _move_in(home: House) -> None:
    """Services, and an nginx that runs: started below a strace, it would be killed like o8."""
    image = home.registry.image("acme/moving")
    await asyncio.to_thread(busybox_image, home.engine_host, image, "main", account=(USER, PASSWORD))
    await home.start()
    for name, more in SERVICES.items():
        await home.apply(name, **more)
    await home.until(lambda: asyncio.to_thread((home.data / "nginx/nginx.pid").exists))
    await asyncio.to_thread(home.stop)


def _rows(home: House, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"file:{home.data}/o8.sqlite?mode=ro", uri=True)) as database:
        return database.execute(query).fetchall()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=8)
    options = parser.parse_args()
    if not shutil.which("strace"):
        sys.exit("strace is missing: apt-get install strace")
    sys.exit(0 if asyncio.run(run(options.kills, options.seed)) else 1)


if __name__ == "__main__":
    main()
