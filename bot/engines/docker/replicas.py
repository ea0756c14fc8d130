"""What `docker inspect` says about a container, read as a `Replica`. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from bot.engines import Replica
from bot.engines.docker import allow
from bot.models import Address


def read(found: dict[str, Any], network: str) -> Replica:
    """`found`, made by `allow.container`, as a `Replica`; raises `KeyError` for anything else."""
    labels, state = found["Config"]["Labels"], found["State"]
    return Replica(
        id=found["Id"],
        name=found["Name"].removeprefix("/"),
        service=labels[allow.SERVICE],
        slot=labels[allow.SLOT],
        index=int(labels[allow.REPLICA]) - 1,
        deployment=int(labels[allow.DEPLOYMENT]),
        address=_address(found, network, int(labels[allow.PORT])),
        state=state["Status"],
        health=(state.get("Health") or {}).get("Status") or "none",
        exit_code=state["ExitCode"],
        is_oom_killed=state["OOMKilled"],
        restarts=found["RestartCount"],
        started_at=_time(state["StartedAt"]),
    )


def _address(found: dict[str, Any], network: str, port: int) -> Address | None:
    place = (found["NetworkSettings"].get("Networks") or {}).get(network) or {}
    planned = (place.get("IPAMConfig") or {}).get("IPv4Address")
    return Address(planned, port) if planned and place.get("IPAddress") == planned else None


def _time(value: str) -> datetime | None:
    """Docker says year 1 for never, and nanoseconds, of which Python keeps the microseconds."""
    return None if value.startswith("0001-") else datetime.fromisoformat(value)
