"""Services as the original's front end lists them. Nothing here asks Docker, a registry or GitHub: all is at hand."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from bot import tags
from bot.chat import Package, service_name
from bot.configuration import Configuration
from bot.engines import Replica
from bot.models import Deployment, Kind
from bot.observer import Observer
from bot.permissions import Action, Person
from bot.store.history import Overview
from bot.store.newest import Newest
from handlers.orchestr8.states import state_of

# How the original calls the actions that o8 calls otherwise.
ITS_WORDS = {Action.VIEW_CONFIGURATION: "view_config", Action.EDIT_CONFIGURATION: "edit_config"}
_SHOWN = (
    Action.MANAGE, Action.VIEW_CONFIGURATION, Action.EDIT_CONFIGURATION, Action.VIEW_ENV, Action.EDIT_ENV,
    Action.VIEW_LOGS,
)  # fmt: skip
_KEYS = "hostPort containerPort domain memoryLimit cpuLimit clientMaxBodySize restartPolicy image"
Tags = Mapping[tuple[str, str], Sequence[str]]  # all that the catalogue knows, by image and digest
NOTHING: Tags = {}
_NO_CONFIGURATION = dict.fromkeys(_KEYS.split(), "")


def installed(
    found: Overview, observer: Observer, newest: Newest | None, person: Person, known: Tags = NOTHING
) -> dict[str, Any]:
    """One service. "Update available" is `latestImageDigest` other than `currentImageDigest`."""
    service, live = found.service, found.live
    replicas = [r for r in observer.replicas(service.name) if live and r.slot == live.slot]
    state, status = state_of(service, replicas, is_known=observer.has_looked)
    may_read = person.may(Action.VIEW_CONFIGURATION, service.name)
    latest_tag, latest_digest = latest(found, newest)
    return {
        "id": id_of(service.name, replicas), "name": service.name, "names": [f"/{service.name}"],
        "image": _tagged(service.configuration.image, live.tag if live else ""), "state": state, "status": status,
        "config": configuration(service.configuration) if may_read else _NO_CONFIGURATION,
        "latestImageDigest": latest_digest,
        "latestImageTags": _all_tags(service.configuration.image, latest_tag, latest_digest, known),
        "currentImageDigest": live.digest if live else "", "_permissions": permissions(person, service.name),
    }  # fmt: skip


def latest(found: Overview, newest: Newest | None) -> tuple[str, str]:
    """Tag and digest of the newest image that a service follows; what serves, where the last look is older."""
    live, follow = found.live, found.service.configuration.follow
    if newest is None:
        return (live.tag, live.digest) if live else ("", "")
    return (live.tag, live.digest) if live and _is_ahead(live, newest, follow) else (newest.tag, newest.digest)


def available(packages: Iterable[Package], taken: set[str], known: Tags = NOTHING) -> Iterator[dict[str, Any]]:
    """Images that could be installed, for whoever may do that; each under a name that is not in `taken`."""
    taken = set(taken)
    for package in packages:
        name = next(name for name in _names(package.image) if name not in taken)
        taken.add(name)
        image = _tagged(package.image, package.tag)
        yield {
            "id": f"registry-{name}", "name": name, "names": [f"/{name}"], "image": image,
            "state": "available", "status": "Available to install", "config": _NO_CONFIGURATION | {"image": image},
            "latestImageDigest": package.digest,
            "latestImageTags": _all_tags(package.image, package.tag, package.digest, known),
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
        "memoryLimit": found.limits.memory, "cpuLimit": f"{found.limits.cpus!r}".removesuffix(".0"),
        "clientMaxBodySize": found.site.max_body_size, "restartPolicy": found.restart, "image": found.image,
    }  # fmt: skip


def _is_ahead(live: Deployment, newest: Newest, follow: Any) -> bool:
    """Deployed by hand since the look: a higher tag, or the same one, which names another image by now."""
    if live.tag == newest.tag:
        # All but a plain deployment keep the image that they find, and a rollback an old one.
        return live.kind is Kind.DEPLOY and live.started_at is not None and live.started_at > newest.looked_at
    return tags.is_newer(follow, live.tag, newest.tag) and not tags.is_newer(follow, newest.tag, live.tag)


def _names(image: str) -> Iterator[str]:
    """What a service of `image` could be called: `blog`, `other-blog`, `other-blog-2`, ..."""
    short, long = service_name(image), service_name(image.partition("/")[2].replace("/", "-"))
    yield short
    yield long
    number = 2
    while True:
        yield f"{long[:58].rstrip('-')}-{number}"
        number += 1


def _all_tags(image: str, tag: str, digest: str, known: Tags) -> list[str]:
    """`tag`, which the front end reads, then the others of the same image."""
    others = known.get((image, digest), ())
    return [each for each in dict.fromkeys((tag, *others)) if each]


def _tagged(image: str, tag: str) -> str:
    return f"{image}:{tag}" if tag else image
