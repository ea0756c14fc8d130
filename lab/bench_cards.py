"""How soon Slack shows what is true when many services deploy at once: `make bench-cards`.

Time is a fake clock's, so that its limits and not this machine's speed are measured; what o8 itself needs is CPU time.
The control is a message for every change, which is what a list of events would send.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from bot.chat import CardKind
from lab import results
from lab.slack.desk import Desk, broken_limits, desk_in, walk

SIZES = (10, 60, 200)
AWAY_MIN = 10.0
UPDATES_PER_MIN = 50  # that Slack takes


class Row(NamedTuple):
    name: str
    changes: int
    requests: int
    minutes: float
    busiest: int
    wrong: int
    broken: int
    cpu_ms: float


async def measure(name: str, size: int, *, is_away: bool = False) -> Row:
    """`size` services deploy at once; with `is_away` Slack is away for the first ten minutes."""
    with tempfile.TemporaryDirectory() as folder:
        async with desk_in(Path(folder)) as desk:
            names = [f"svc-{number}" for number in range(size)]
            for service in names:
                await desk.add(service)
            if is_away:
                desk.slack.down()
            await walk(desk, names, random.Random(1))  # noqa: S311
            if is_away:
                await desk.wait(AWAY_MIN)
                desk.slack.up()
            begun, cpu = desk.clock.now, time.process_time()
            await desk.settle(minutes=120)
            cpu = time.process_time() - cpu
            return await _row(name, desk, begun, cpu)


async def _row(name: str, desk: Desk, begun: float, cpu: float) -> Row:
    cards = [await desk.store.card(CardKind.DEPLOYMENT, str(d.id)) for d in await desk.store.deployments(limit=1000)]
    updates = sorted(call.at for call in desk.slack.calls if call.method == "chat.update")
    posted = {m.ts: m for m in desk.cards()}
    wrong = sum(card.ts not in posted or "being deployed" in posted[card.ts].text for card in cards)
    return Row(
        name=name,
        changes=sum(card.wanted for card in cards),
        requests=len(desk.slack.calls),
        minutes=(max(call.at for call in desk.slack.calls) - begun) / 60,
        busiest=max((sum(at <= other < at + 60 for other in updates) for at in updates), default=0),
        wrong=wrong + abs(len(posted) - len(cards)),
        broken=len(broken_limits(desk.slack)),
        cpu_ms=1000 * cpu / len(cards),
    )


def table(rows: list[Row]) -> str:
    is_met = not any(row.wrong or row.broken for row in rows)
    return "\n".join((
        "until every card shows its deployment's true end, counted from the last end",
        "",
        f"{'services at once':<26}{'changes':>9}{'requests':>10}{'minutes':>9}{'control':>9}{'busiest':>9}{'wrong':>7}"
        f"{'CPU/card':>10}",
        *(
            f"{row.name:<26}{row.changes:>9}{row.requests:>10}{row.minutes:>9.1f}"
            f"{row.changes / UPDATES_PER_MIN:>9.1f}{row.busiest:>9}{row.wrong:>7}{row.cpu_ms:>7.0f} ms"
            for row in rows
        ),
        "",
        "control: minutes that a message for every change would take at Slack's limit; busiest: most updates a minute",
        f"asked for: one card each in its true state, <= 50 updates a minute, <= 1 post a second and channel; "
        f"{'met' if is_met else 'NOT met'}",
    ))  # fmt: skip


async def main(sizes: list[int]) -> list[Row]:
    rows = [await measure(str(size), size) for size in sizes]
    return [*rows, await measure(f"{sizes[0]}, Slack away 10 min", sizes[0], is_away=True)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    logging.disable(logging.WARNING)  # that Slack is away is known
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    results.write("cards", "make bench-cards", table(asyncio.run(main(parser.parse_args().sizes))))
