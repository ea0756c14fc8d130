"""Services: list, start, stop, remove, environment. What was unsafe in the original is checked here like everywhere."""

from __future__ import annotations

import re
from typing import Any

from aiohttp import web

from bot.configuration import Configuration, read
from bot.errors import Conflict, InvalidInput
from bot.models import Deployment, Service, State
from bot.permissions import Action
from handlers.access import ACCOUNT, named, on_service
from handlers.orchestr8 import listing
from handlers.orchestr8.routing import Asked, Body, Route, done

_SIZE = re.compile(r"\s*([0-9]+)\s*([kmgKMG]?)i?[bB]?\s*")
_REFERENCE = re.compile(r"([^@]+?)(?::([A-Za-z0-9_][A-Za-z0-9._-]{0,127}))?(?:@sha256:[0-9a-f]{64})?")


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


class Named(Body):
    service: str


class Environment(Body):
    content: str


async def everything(asked: Asked) -> list[dict[str, Any]]:
    """What runs, then what could be installed."""
    store, person = asked.services.store, asked.person
    newest = await store.newest_tags()
    found = [
        listing.installed(each, asked.services.observer, newest.get(each.service.name), person)
        for each in await store.overview()
        if person.may(Action.VIEW_STATUS, each.service.name)
    ]
    if person.may(Action.ADD_NEW_SERVICE):
        taken = {each["name"] for each in found}
        packages = [package for package in await store.packages() if package.state != "dismissed"]
        found += [listing.available(package) for package in packages if package.service_name not in taken]
    return found


async def start(asked: Asked) -> dict[str, Any]:
    """Installs, starts, or brings another image or configuration; answers once it serves or has failed."""
    wanted = await asked.body(Start)
    seen = await asked.services.authority.seen_by(asked.person)
    service = await asked.services.store.service(wanted.service) if wanted.service in seen else None
    image, tag = _split(wanted.image or "")
    configuration = _configuration(service, wanted, image)
    if service is None:
        return await _outcome(asked, await asked.commands.install(configuration, tag))
    deployment = await _brought(asked, service, configuration, tag, recreate=wanted.recreate)
    return await _outcome(asked, deployment) if deployment else done(f"{service.name} runs as asked for.", nginx="")


async def stop(asked: Asked) -> dict[str, Any]:
    name = (await asked.body(Named)).service
    await asked.commands.stop(name)
    return done(f"{name} is stopped.")


async def restart(asked: Asked) -> dict[str, Any]:
    return await _outcome(asked, await asked.commands.restart((await asked.body(Named)).service))


async def remove(asked: Asked) -> dict[str, Any]:
    """Volumes are kept."""
    await asked.commands.remove(asked.name)
    return done(f"{asked.name} is removed; its volumes are kept.")


async def environment(asked: Asked) -> web.Response:
    return web.Response(text=await asked.commands.read_environment(asked.name), content_type="text/plain")


async def write_environment(asked: Asked) -> dict[str, Any]:
    """Kept as written, and deployed."""
    content = (await asked.body(Environment)).content
    if await asked.services.operations.environment(asked.name) == content:
        return done(f"The environment of {asked.name} already is as asked for.")
    deployment = await asked.commands.write_environment(asked.name, content)
    return await _outcome(asked, deployment) if deployment else done(f"The environment of {asked.name} is saved.")


async def _brought(
    asked: Asked, service: Service, configuration: Configuration, tag: str, *, recreate: bool
) -> Deployment | None:
    """The one deployment that brings all of it; None when nothing is to be done."""
    commands, name = asked.commands, service.name
    live = await asked.services.store.deployment(service.live) if service.live else None
    is_other_image = live is None or (tag and tag != live.tag) or configuration.image != live.image
    if is_other_image:  # else the configuration would be changed, and the deployment refused
        await asked.services.authority.require(asked.person.actor, Action.DEPLOY, name)
    if configuration != service.configuration:
        applied = await commands.apply(configuration, is_deployed=not is_other_image)
        if applied.deployment:
            return applied.deployment
    if is_other_image:
        bypass = asked.person.may(Action.MANAGE, name)  # who may, has decided by pressing the button
        return await commands.deploy(name, tag, bypass=bypass)
    if service.is_stopped:
        return await commands.start(name)
    return await commands.restart(name) if recreate else None


async def _outcome(asked: Asked, deployment: Deployment) -> dict[str, Any]:
    """Raises `Conflict` when it failed: visitors saw nothing of it then."""
    found = await asked.services.worker.outcome(deployment.id)
    if found.state in (State.FAILED, State.ROLLED_BACK, State.CANCELLED, State.NEEDS_ATTENTION):
        raise Conflict(f"{found.service} {found.release} was not brought up: {found.error}", found.next_step)
    where = ", ".join(found.configuration.domains) or found.configuration.host_port or "its default domain"
    if found.switched_at or found.state is State.UNCHANGED:
        nginx = f"nginx sends {where} to it."
        return done(f"{found.service} {found.release} serves.", nginx=nginx, deployment=found.id)
    words = {State.WAITING: "waits for approval", State.HELD: "is held", State.SUPERSEDED: "gave way to a newer one"}
    message = f"Deployment {found.id} of {found.service} {words.get(found.state, found.state)}. {found.error}".strip()
    return done(message, nginx="", deployment=found.id)


def _configuration(service: Service | None, wanted: Start, image: str) -> Configuration:
    values: dict[str, Any] = service.configuration.model_dump() if service else {"name": wanted.service}
    if image:
        values["image"] = image
    for key, value in (wanted.config or Config()).model_dump(exclude_none=True).items():
        _set(values, key, value.strip())
    return read(values)


def _set(values: dict[str, Any], key: str, value: str) -> None:
    """One field of the front end's form; an empty one keeps its value, or is the default of a new service."""
    if key == "domain":
        values["domains"] = [value.lower(), *values.get("domains", ())[1:]] if value else []
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
    """`512MB`, `512 Mi` and `512m` are the same."""
    found = _SIZE.fullmatch(text)
    return f"{found[1]}{found[2].lower()}" if found else text


def _split(reference: str) -> tuple[str, str]:
    """Image and tag; o8 looks the digest up itself."""
    found = _REFERENCE.fullmatch(reference.strip())
    if reference.strip() and not found:
        raise InvalidInput(f"{reference!r:.140} is no image.", "Such as `ghcr.io/acme/web:0005`.")
    image, tag = (found[1], found[2]) if found else ("", "")
    return image.lower(), "" if tag in (None, "latest") else tag


ROUTES = (
    Route("GET", "/services", everything, ACCOUNT),
    Route("POST", "/services/start", start, named(Action.DEPLOY)),
    Route("POST", "/services/stop", stop, named(Action.MANAGE)),
    Route("POST", "/services/restart", restart, named(Action.DEPLOY)),
    Route("DELETE", "/services/{name}", remove, on_service(Action.MANAGE)),
    Route("GET", "/services/{name}/env", environment, on_service(Action.VIEW_ENV)),
    Route("POST", "/services/{name}/env", write_environment, on_service(Action.EDIT_ENV)),
)
