"""How values look on pages: times, sizes, states. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from bot.accounts import in_words
from bot.chat import lasting
from bot.models import State
from bot.permissions import service_of

_GOOD = {State.SUCCEEDED, State.UNCHANGED}
_BAD = {State.FAILED, State.ROLLED_BACK, State.NEEDS_ATTENTION}


def ago(at: datetime | None) -> str:
    """`5 min ago`."""
    return f"{lasting(at, datetime.now(UTC))} ago" if at else "never"


def when(at: datetime | None) -> str:
    """For people, in UTC; browsers show it in the reader's own time."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if at else ""


def size(count: float | None) -> str:
    """Bytes: `23.4 MB`."""
    if count is None:
        return "—"
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5 or unit == "GB":
            return f"{count:.0f} {unit}" if unit == "B" or count >= 99.5 else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError


def cores(count: float | None) -> str:
    """Processors in use: `0.25`."""
    return "—" if count is None else f"{count:.2f}"


def seconds(span: timedelta | float) -> str:
    found = span.total_seconds() if isinstance(span, timedelta) else span
    return f"{found:.1f} s" if found < 100 else f"{found / 60:.1f} min"


def mood(state: State | str) -> str:
    """`good`, `bad`, `busy` or `calm`, for a colour; the word itself is always there too."""
    if state in _GOOD or state in ("live", "running", "ok", "healthy", "accepted"):
        return "good"
    if state in _BAD or state in ("exited", "dead", "fault", "unhealthy"):
        return "bad"
    is_busy = state in set(State) and not State(state).is_ending
    return "busy" if is_busy or state in ("warning", "restarting", "starting") else "calm"


def scope(text: str) -> str:
    """`service:web` -> `web`."""
    return service_of(text) or text


def sentence(text: str) -> str:
    """With a full stop."""
    return text if text.endswith((".", "!", "?")) else f"{text}."


def browser(agent: str) -> str:
    """`Firefox on Linux`, of what a browser says it is; the first word of anything else."""
    names = ("Edg", "Edge"), ("OPR", "Opera"), ("Firefox", "Firefox"), ("Chrom", "Chrome"), ("Safari", "Safari")
    systems = (
        ("Android", "Android"),
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Windows", "Windows"),
        ("Mac OS", "Mac"),
        ("Linux", "Linux"),
    )
    name = next((name for sign, name in names if sign in agent), agent.partition("/")[0][:40])
    system = next((system for sign, system in systems if sign in agent), "")
    return f"{name} on {system}" if system else name


def json(value: Any) -> str:
    return orjson.dumps(value).decode()


FILTERS = {
    "ago": ago, "when": when, "size": size, "cores": cores, "seconds": seconds, "mood": mood, "person": in_words,
    "state": lambda text: str(text).replace("_", " "), "scope": scope, "sentence": sentence,
    "browser": browser, "json": json,
}  # fmt: skip
