"""How services and deployments look in JSON. Never with a value of an environment."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from bot.models import Deployment, EnvironmentRevision, Lock, Service
from bot.operations import Applied
from bot.run import Run

_LONG = {"configuration", "steps", "log"}  # only where one deployment is shown


def service(found: Service, live: Deployment | None) -> dict[str, Any]:
    """`release` is what serves; `state` is `new`, `live` or `stopped`; a lock that has expired is none."""
    return found.model_dump(mode="json", exclude={"block", "lock"}) | {
        "state": state(found),
        "release": live.release if live else None,
        "lock": lock(found.lock),
    }


def deployment(found: Deployment, run: Run | None = None) -> dict[str, Any]:
    """Whole, with its steps; `progress` counts the bytes of the pull while it is at work in `run`."""
    is_running = run is not None and run.deployment.id == found.id
    progress = {"bytes_done": run.bytes_done, "bytes_known": run.bytes_known} if run and is_running else None
    return found.model_dump(mode="json") | _computed(found) | {"progress": progress}


def summary(found: Deployment | None) -> dict[str, Any] | None:
    """A deployment in a list."""
    return found.model_dump(mode="json", exclude=_LONG) | _computed(found) if found else None


def applied(what: Applied, live: Deployment | None) -> dict[str, Any]:
    return {
        "service": service(what.service, live), "is_new": what.is_new, "deployment": summary(what.deployment)
    }  # fmt: skip


def environment(found: Service, revision: EnvironmentRevision | None) -> dict[str, Any]:
    """Names only."""
    known = revision.model_dump(mode="json") if revision else {"names": [], "actor": "", "created_at": None}
    return known | {"service": found.name, "revision": found.environment_revision}


def state(found: Service) -> str:
    if found.live is None:
        return "new"
    return "stopped" if found.is_stopped else "live"


def lock(found: Lock | None) -> dict[str, Any] | None:
    return found.model_dump(mode="json") if found and found.until > datetime.now(UTC) else None


def _computed(found: Deployment) -> dict[str, Any]:
    return {"release": found.release, "has_ended": found.state.is_ending}
