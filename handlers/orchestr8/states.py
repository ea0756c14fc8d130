"""How a service is, in the words of Docker's list: `running`, `Up 3 hours (healthy)`. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from bot.engines import Replica
from bot.models import Service


def state_of(service: Service, replicas: Sequence[Replica], *, is_known: bool) -> tuple[str, str]:
    """State and status; `replicas`: those of the release that serves. `is_known` False: Docker has not told yet."""
    if service.live is None:
        return "created", "Created"
    first = next((r for r in replicas if r.state == "running"), next(iter(replicas), None))
    if service.is_stopped:
        return "exited", f"Exited ({first.exit_code})" if first else "Exited"
    if first:
        return first.state, _status(first)
    return ("exited", "No container") if is_known else ("unknown", "Docker has not answered yet")


# https://github.com/moby/moby/blob/master/container/state.go, String; https://github.com/docker/go-units
def _status(replica: Replica) -> str:
    match replica.state:
        case "running" | "paused":
            up = f"Up {human_duration(datetime.now(UTC) - replica.started_at)}" if replica.started_at else "Up"
            health = {"none": "", "starting": " (health: starting)"}.get(replica.health, f" ({replica.health})")
            return f"{up} (Paused)" if replica.state == "paused" else f"{up}{health}"
        case "restarting" | "exited":
            return f"{replica.state.capitalize()} ({replica.exit_code})"
        case "removing":
            return "Removal In Progress"
        case _:
            return replica.state.capitalize()


def human_duration(length: timedelta) -> str:
    """As Docker says it: `38 seconds`, `About an hour`, `2 weeks`."""
    seconds = max(int(length.total_seconds()), 0)
    minutes, hours = seconds // 60, int(seconds / 3600 + 0.5)
    if minutes < 2:
        few = {0: "Less than a second", 1: "1 second"}
        return few.get(seconds, f"{seconds} seconds" if minutes == 0 else "About a minute")
    if minutes < 60 or hours == 1:
        return f"{minutes} minutes" if minutes < 60 else "About an hour"
    for limit, size, unit in ((48, 1, "hours"), (14 * 24, 24, "days"), (60 * 24, 7 * 24, "weeks")):
        if hours < limit:
            return f"{hours // size} {unit}"
    return f"{hours // (30 * 24)} months" if hours < 2 * 365 * 24 else f"{seconds // (365 * 86400)} years"
