"""What was counted, by triggers, while it happened: deliveries, deployments, steps and how long they took."""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

from sqlite_utils import Database

from bot.store.connection import Connection, question, rows


class Durations(NamedTuple):
    """How long a step took: `buckets` are pairs of an upper limit in seconds and how many were within it."""

    buckets: tuple[tuple[float, int], ...]
    total: int
    seconds: float


class Counters(Connection):
    @question
    def counts(self, db: Database, name: str) -> dict[str, float]:
        """Of `deliveries` by verdict, or of `deployments` by ending, since the first start."""
        return _counts(db, name)

    @question
    def durations(self, db: Database) -> dict[str, Durations]:
        """By step."""
        buckets: defaultdict[str, list[tuple[float, int]]] = defaultdict(list)
        for row in rows(db, "SELECT * FROM step_buckets ORDER BY step, le"):
            buckets[row["step"]].append((row["le"], row["count"]))
        counts, seconds = _counts(db, "steps"), _counts(db, "step_seconds")
        return {step: Durations(tuple(buckets[step]), int(counts[step]), seconds.get(step, 0.0)) for step in counts}

    @question
    def waiting(self, db: Database) -> dict[str, int]:
        """How many deployments are in each state that is no ending."""
        query = """SELECT state, count(*) AS n FROM deployments
            WHERE state NOT IN (SELECT state FROM ended_states) GROUP BY state"""
        return {row["state"]: row["n"] for row in rows(db, query)}

    @question
    def cards_behind(self, db: Database) -> tuple[int, float]:
        """How many messages do not show what is true now, and for how many seconds the oldest of them has not."""
        query = """SELECT count(*) AS n, ifnull(max((julianday('now') - julianday(changed_at)) * 86400), 0) AS s
            FROM cards WHERE shown < wanted"""
        found = rows(db, query)[0]
        return int(found["n"]), max(float(found["s"]), 0.0)


def _counts(db: Database, name: str) -> dict[str, float]:
    found = rows(db, "SELECT label, value FROM counters WHERE name = ? ORDER BY label", [name])
    return {row["label"]: row["value"] for row in found}
