"""Figures for whoever watches o8. What is counted, triggers count while it happens: see `migrations`."""

from __future__ import annotations

from typing import NamedTuple

import orjson
from sqlite_utils import Database

from bot.models import ENDINGS, Slot, State
from bot.store.connection import Connection, now, question, rows

_UNFINISHED = orjson.dumps(sorted(set(State) - ENDINGS)).decode()
_STEPS = tuple(state for state in State if state not in {State.WAITING, State.QUEUED, *ENDINGS})


class Durations(NamedTuple):
    """How long a step took: `buckets` are pairs of an upper limit in seconds and how many were within it."""

    buckets: tuple[tuple[float, int], ...]
    total: int
    seconds: float


class Serving(NamedTuple):
    """What of a service should run: `replicas` copies in `slot`, made by one of `deployments`; 0: none should."""

    service: str
    image: str
    release: str
    slot: Slot
    replicas: int
    deployments: tuple[int, ...]
    needs_attention: bool  # its last deployment ended so


class Counters(Connection):
    @question
    def counts(self, db: Database, name: str) -> dict[str, int]:
        """Of `deliveries` by verdict, or of `deployments` by ending, since o8 has counted."""
        return {label: int(value) for label, value in _counts(db, name).items()}

    @question
    def durations(self, db: Database) -> dict[str, Durations]:
        """By step, also of those that were never taken."""
        limits = [row["le"] for row in rows(db, "SELECT le FROM bucket_limits ORDER BY le")]
        counted = {(row["step"], row["le"]): row["count"] for row in rows(db, "SELECT * FROM step_buckets")}
        counts, seconds = _counts(db, "steps"), _counts(db, "step_seconds")
        return {
            str(step): Durations(
                tuple((limit, counted.get((step, limit), 0)) for limit in limits),
                int(counts.get(step, 0)), seconds.get(step, 0.0),
            )
            for step in _STEPS
        }  # fmt: skip

    @question
    def unfinished_by_state(self, db: Database) -> dict[str, int]:
        """How many deployments are in each state that is no ending, and has any."""
        query = """SELECT state, count(*) AS n FROM deployments
            WHERE state IN (SELECT value FROM json_each(?)) GROUP BY state"""
        return {row["state"]: row["n"] for row in rows(db, query, [_UNFINISHED])}

    @question
    def cards_behind(self, db: Database) -> tuple[int, float]:
        """How many messages do not show what is true now though they should, and the longest of their waits in seconds.

        Not those that are kept back, by quiet hours or a mute: their wait begins when that ends.
        """
        query = """SELECT max(cards.changed_at, iif(cards.failures = 0, ifnull(cards.not_before, ''), ''),
                ifnull(parent.shown_at, '')) AS since
            FROM cards LEFT JOIN cards AS parent
                ON cards.kind = 'steps' AND parent.kind = 'deployment' AND parent.subject = cards.subject
            WHERE cards.shown < cards.wanted
                AND (cards.kind <> 'steps' OR parent.ts <> '' OR parent.shown >= parent.wanted)"""
        found = rows(
            db, f"""SELECT count(*) AS n, ifnull((julianday(?1) - julianday(min(since))) * 86400, 0) AS seconds
            FROM ({query}) WHERE since <= ?1""", [now()],  # noqa: S608
        )[0]  # fmt: skip
        return int(found["n"]), max(round(float(found["seconds"]), 3), 0.0)

    @question
    def serving(self, db: Database) -> tuple[Serving, ...]:
        """Each service that was ever deployed, by name."""
        query = """SELECT name, is_stopped, live.id, target, slot, image, tag, digest,
                live.configuration ->> 'replicas' AS replicas,
                (SELECT state FROM deployments WHERE service = name ORDER BY id DESC LIMIT 1) AS last
            FROM services JOIN deployments AS live ON live.id = services.live WHERE slot IS NOT NULL ORDER BY name"""
        return tuple(
            Serving(
                service=row["name"], image=row["image"], slot=row["slot"],
                release=row["tag"] or row["digest"].removeprefix("sha256:")[:12] or f"#{row['id']}",
                replicas=0 if row["is_stopped"] else row["replicas"],
                deployments=(row["id"], *((row["target"],) if row["target"] else ())),
                needs_attention=row["last"] == State.NEEDS_ATTENTION,
            )
            for row in rows(db, query)
        )  # fmt: skip


def _counts(db: Database, name: str) -> dict[str, float]:
    found = rows(db, "SELECT label, value FROM counters WHERE name = ? ORDER BY label", [name])
    return {row["label"]: row["value"] for row in found}
