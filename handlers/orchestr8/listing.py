"""Services as the original's front end lists them. Nothing here asks Docker, a registry or GitHub: all is at hand."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

from bot.chat import Package, lasting
from bot.configuration import Configuration
from bot.engines import Replica
from bot.observer import Observer
from bot.permissions import Action, Person
from bot.store.history import Overview
from bot.store.newest import Newest

# How the original calls the actions that o8 calls otherwise.
ITS_WORDS = {Action.VIEW_CONFIGURATION: "view_config", Action.EDIT_CONFIGURATION: "edit_config"}
_SHOWN = (
    Action.MANAGE, Action.VIEW_CONFIGURATION, Action.EDIT_CONFIGURATION, Action.VIEW_ENV, Action.EDIT_ENV,
    Action.VIEW_LOGS,
)  # fmt: skip
_KEYS = "hostPort containerPort domain memoryLimit cpuLimit clientMaxBodySize restartPolicy image"
_NO_CONFIGURATION = dict.fromkeys(_KEYS.split(), "")


def installed(found: Overview, observer: Observer, newest: Newest | None, person: Person) -> dict[str, Any]:
    """One service. "Update available" is `latestImageDigest` other than `currentImageDigest`."""
    service, live = found.service, found.live
    replicas = [r for r in observer.replicas(service.name) if live and r.slot == live.slot]
    state, status = _state(found, replicas)
    may_read = person.may(Action.VIEW_CONFIGURATION, service.name)
    current = live.digest if live else ""
    return {
        "id": id_of(service.name, replicas), "name": service.name, "names": [f"/{service.name}"],
        "image": _tagged(service.configuration.image, live.tag if live else ""), "state": state, "status": status,
        "config": configuration(service.configuration) if may_read else _NO_CONFIGURATION,
        "latestImageDigest": newest.digest if newest else current,
        "latestImageTags": [newest.tag] if newest else [], "currentImageDigest": current,
        "_permissions": permissions(person, service.name),
    }  # fmt: skip


def available(package: Package) -> dict[str, Any]:
    """An image that could be installed, for whoever may do that."""
    name = package.service_name
    return {
        "id": f"registry-{name}", "name": name, "names": [f"/{name}"], "image": _tagged(package.image, package.tag),
        "state": "available", "status": "Available to install",
        "config": _NO_CONFIGURATION | {"image": _tagged(package.image, package.tag)},
        "latestImageDigest": package.digest, "latestImageTags": [package.tag] if package.tag else [],
        "currentImageDigest": "",
        "_permissions": {ITS_WORDS.get(action, action.value): action is Action.MANAGE for action in _SHOWN},
    }  # fmt: skip


def id_of(service: str, replicas: list[Replica]) -> str:
    """12 characters: of the first container's id; of the name where none is known."""
    return replicas[0].id[:12] if replicas else hashlib.sha256(service.encode()).hexdigest()[:12]


def permissions(person: Person, service: str) -> dict[str, bool]:
    return {ITS_WORDS.get(action, action.value): person.may(action, service) for action in _SHOWN}


def configuration(found: Configuration) -> dict[str, str]:
    return {
        "hostPort": found.host_port, "containerPort": str(found.port), "domain": next(iter(found.domains), ""),
        "memoryLimit": found.limits.memory, "cpuLimit": f"{found.limits.cpus:g}",
        "clientMaxBodySize": found.site.max_body_size, "restartPolicy": found.restart, "image": found.image,
    }  # fmt: skip


def _state(found: Overview, replicas: list[Replica]) -> tuple[str, str]:
    """As Docker's list has them: `running`, `Up 3 h (healthy)`; of a service that never ran `created`."""
    if found.live is None:
        return "created", "Created"
    first = next((r for r in replicas if r.state == "running"), next(iter(replicas), None))
    if first is None:
        return ("exited", "Exited") if found.service.is_stopped else ("running", "Up")
    if first.state != "running":
        return first.state, f"{first.state.capitalize()} ({first.exit_code})"
    since = f" {lasting(first.started_at, datetime.now(UTC))}" if first.started_at else ""
    health = "" if first.health == "none" else f" ({first.health})"
    return "running", f"Up{since}{health}"


def _tagged(image: str, tag: str) -> str:
    return f"{image}:{tag}" if tag else image
