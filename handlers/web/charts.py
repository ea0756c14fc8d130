"""Where lines and bars of the small drawings go. Pure; the templates only write the numbers down."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from bot.models import Deployment, State
from bot.observer import Sample
from handlers.web.words import size

WIDTH, HEIGHT = 240, 48
POINTS = 60  # an hour in minutes: more is noise at this size
_WENT_WRONG = (State.FAILED, State.ROLLED_BACK, State.NEEDS_ATTENTION)


class Line(NamedTuple):
    """`points` as SVG has them; `most` is the value at the top."""

    points: str
    most: float
    last: float


class Bar(NamedTuple):
    """One step: where it begins and how wide it is, in percent of the whole. `is_fatal`: here it went wrong."""

    name: str
    begin: float
    width: float
    seconds: float
    is_running: bool
    is_fatal: bool
    detail: str


def line(values: Sequence[float], most: float = 0.0) -> Line | None:
    """Of values at equal distances; None for fewer than two. `most`: at least so much is at the top."""
    if len(values) < 2:
        return None
    last = values[-1]
    each = -(-len(values) // POINTS)
    values = [sum(part) / len(part) for at in range(0, len(values), each) if (part := values[at : at + each])]
    top = max(most, *values) or 1.0
    step = WIDTH / (len(values) - 1)
    points = " ".join(f"{n * step:.1f},{HEIGHT - 1 - (HEIGHT - 2) * value / top:.1f}" for n, value in enumerate(values))
    return Line(points, top, last)


def cpu(samples: Sequence[Sample]) -> Line | None:
    return line([sample.cpus for sample in samples], 0.1)


def memory(samples: Sequence[Sample]) -> Line | None:
    return line([float(sample.memory_bytes) for sample in samples], float(samples[-1].memory_limit) if samples else 0.0)


def bars(deployment: Deployment) -> tuple[Bar, ...]:
    """Of each step, one after the other."""
    steps = deployment.steps
    if not steps:
        return ()
    now = datetime.now(UTC)
    begin = steps[0].started_at
    end = max((step.ended_at or now) for step in steps)
    whole = max((end - begin).total_seconds(), 0.001)
    found = []
    for step in steps:
        took = ((step.ended_at or now) - step.started_at).total_seconds()
        detail = ", ".join(_found(key, value) for key, value in step.detail.items())
        place = (step.started_at - begin).total_seconds() / whole * 100
        width = max(took / whole * 100, 0.6)
        place = min(place, 99.4)
        is_fatal = step is steps[-1] and deployment.state in _WENT_WRONG
        is_running = step.ended_at is None and not deployment.has_ended
        found.append(Bar(step.state, round(place, 2), round(width, 2), took, is_running, is_fatal, detail[:200]))
    return tuple(found)


def _found(key: str, value: object) -> str:
    """A value of a step's detail, in words."""
    if key.endswith("bytes") and isinstance(value, int):
        value = size(value)
    return f"{key.replace('_', ' ')}: {value}"
