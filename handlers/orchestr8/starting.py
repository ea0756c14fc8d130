"""`POST /services/start`: with one form the original's front end installs, starts, updates and configures."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from bot.configuration import Configuration, read
from bot.errors import ChangedMeanwhile, InvalidInput
from bot.models import Deployment, Service
from bot.permissions import Action, Person
from bot.store.history import Overview
from handlers.orchestr8 import listing
from handlers.orchestr8.outcomes import outcome, show
from handlers.orchestr8.routing import Asked, Body, done

_SIZE = re.compile(r"\s*([0-9]{1,18})\s*([kmgKMG]?)i?[bB]?\s*")
_REFERENCE = re.compile(r"([^@]+?)(?::([A-Za-z0-9_][A-Za-z0-9._-]{0,127}))?(?:@(sha256:[0-9a-f]{64}))?")
_LONGEST_REFERENCE = 500
_TRIES = 5  # for others who change the same service at the same moment


class Config(Body):
    """What is left out keeps its value."""

    hostPort: str | None = None  # noqa: N815 the front end's words
    containerPort: str | None = None  # noqa: N815
    domain: str | None = None
    memoryLimit: str | None = None  # noqa: N815
    cpuLimit: str | None = None  # noqa: N815
    clientMaxBodySize: str | None = None  # noqa: N815
    restartPolicy: str | None = None  # noqa: N815


class Start(Body):
    service: str
    image: str | None = None
    recreate: bool = False
    config: Config | None = None


class Reference(NamedTuple):
    """An image as the form names it. `release`: a tag or a digest; empty: it names none."""

    image: str = ""
    release: str = ""
    is_latest: bool = False


async def start(asked: Asked) -> dict[str, Any]:
    """Installs, starts, or brings another image or configuration; answers once it serves or has failed."""
    wanted = await asked.body(Start)
    deployment = await _begin_anew_when_changed(asked, wanted)
    if deployment:
        return await outcome(asked, deployment)
    await show(asked, wanted.service)
    return done(f"{wanted.service} runs as asked for.", nginx="")


async def _begin_anew_when_changed(asked: Asked, wanted: Start) -> Deployment | None:
    for _ in range(_TRIES - 1):
        try:
            return await _begin(asked, wanted)
        except ChangedMeanwhile:  # fields that were left out keep the value that somebody else has just given them
            continue
    return await _begin(asked, wanted)


async def _begin(asked: Asked, wanted: Start) -> Deployment | None:
    """The one deployment that brings all of it; None when nothing is to be done."""
    store, reference = asked.services.store, _split(wanted.image or "")
    if wanted.service not in await asked.services.authority.seen_by(asked.person):
        return await asked.commands.install(_new(wanted, reference), reference.release)
    service = await store.service(wanted.service)
    live = await store.deployment(service.live) if service.live else None
    configuration = _changed(asked.person, service, wanted, reference)
    release = await _release(asked, Overview(service, live, None), reference)
    is_changed = configuration != service.configuration
    # A configuration that failed is the service's all the same: what serves is asked.
    lags = live is not None and wanted.config is not None and _lags(live, configuration)
    is_renewed = release is None and (wanted.recreate or lags)
    await _require(asked, service, is_changed=is_changed, is_deployed=release is not None, is_renewed=is_renewed)
    if is_changed:
        applied = await asked.commands.apply(configuration, is_deployed=release is None, expected=service.configuration)
        if applied.deployment:
            return applied.deployment
    if release is not None:
        bypass = asked.person.may(Action.MANAGE, service.name)  # who may, has decided by pressing the button
        return await asked.commands.deploy(service.name, release, bypass=bypass)
    if service.is_stopped:
        return await asked.commands.start(service.name)
    return await asked.commands.restart(service.name) if is_renewed else None


async def _require(asked: Asked, service: Service, *, is_changed: bool, is_deployed: bool, is_renewed: bool) -> None:
    """All rights before the first deed: nothing is left half done. Raises `Forbidden`."""
    needed = [Action.EDIT_CONFIGURATION] if is_changed else []
    if is_deployed:
        needed.append(Action.DEPLOY)
    elif service.is_stopped:
        needed.append(Action.MANAGE)
    elif is_renewed and not is_changed:
        needed.append(Action.DEPLOY)
    for action in needed:
        await asked.services.authority.require(asked.person.actor, action, service.name)


async def _release(asked: Asked, found: Overview, reference: Reference) -> str | None:
    """Which release to deploy (empty: the newest); None when what serves is that image already."""
    live = found.live
    if live is None or reference.image not in ("", live.image):
        return reference.release
    newest = (await asked.services.store.newest_tags()).get(found.service.name)
    tag, digest = listing.latest(found, newest)
    if reference.is_latest:
        return None if digest == live.digest else ""
    if reference.release in ("", live.digest):
        return None
    if reference.release == live.tag:  # the same name, perhaps of another image by now: what the list has shown
        return None if tag != live.tag or digest == live.digest else live.tag
    return reference.release


def _lags(live: Deployment, configuration: Configuration) -> bool:
    return live.configuration.fingerprint != configuration.fingerprint


def _new(wanted: Start, reference: Reference) -> Configuration:
    """Of a new service. A first tag that is no number is followed itself: no number is newer than `16-alpine`.

    The form names no path for a health check, and many services have nothing at `/`: it is enough to open the port.
    """
    tag = "" if ":" in reference.release else reference.release
    follow = {"policy": "tag", "tag": tag} if tag and not tag.isdecimal() else {}
    values: dict[str, Any] = {
        "name": wanted.service, "image": reference.image, "follow": follow, "health": {"kind": "tcp"},
    }  # fmt: skip
    config = wanted.config or Config()
    if not reference.image:
        raise InvalidInput("image is empty.", "Such as `ghcr.io/acme/web:0005`.")
    if not config.containerPort:
        raise InvalidInput("containerPort is empty.", "It is the port that the container listens on.")
    return _filled(values, config, has_seen=True)


def _changed(person: Person, service: Service, wanted: Start, reference: Reference) -> Configuration:
    values = service.configuration.model_dump()
    if reference.image:
        values["image"] = reference.image
    has_seen = person.may(Action.VIEW_CONFIGURATION, service.name)
    return _filled(values, wanted.config or Config(), has_seen=has_seen)


def _filled(values: dict[str, Any], config: Config, *, has_seen: bool) -> Configuration:
    """`has_seen` False: whoever was shown empty fields sends them back, and means nothing by that."""
    for key, value in config.model_dump(exclude_none=True).items():
        if has_seen or value.strip():
            _set(values, key, value.strip())
    return read(values)


def _set(values: dict[str, Any], key: str, value: str) -> None:
    """One field of the form. An empty port, limit or policy keeps its value, or is the default of a new service."""
    if key == "domain":
        # The form knows the first one alone; the others stay.
        others = [domain for domain in values.get("domains", ())[1:] if domain != value.lower()]
        values["domains"] = [value.lower(), *others] if value else others
    elif key == "hostPort":
        values["host_port"] = value
    elif key == "containerPort" and value:
        values["port"] = value
    elif key == "memoryLimit" and value:
        values["limits"] = values.get("limits", {}) | {"memory": _size(value)}
    elif key == "cpuLimit" and value:
        values["limits"] = values.get("limits", {}) | {"cpus": value}
    elif key == "clientMaxBodySize" and value:
        values["site"] = values.get("site", {}) | {"max_body_size": _size(value)}
    elif key == "restartPolicy" and value:
        values["restart"] = value


def _size(text: str) -> str:
    """`512MB`, `512 Mi`, `512m` and `536870912` are the same."""
    found = _SIZE.fullmatch(text)
    if not found:
        return text
    number, unit = int(found[1]), found[2].lower()
    for larger in "" if unit else "kmg":
        if number >= 1024 and number % 1024 == 0:
            number, unit = number // 1024, larger
        else:
            break
    return f"{number}{unit}"


def _split(reference: str) -> Reference:
    reference = reference.strip()
    if not reference:
        return Reference()
    found = _REFERENCE.fullmatch(reference) if len(reference) <= _LONGEST_REFERENCE else None
    if not found:
        raise InvalidInput(f"{reference!r:.140} is no image.", "Such as `ghcr.io/acme/web:0005`.")
    image, tag, digest = found.groups()
    is_latest = tag == "latest" and not digest
    return Reference(image.lower(), "" if is_latest else tag or digest or "", is_latest)
