"""Services: list, stop, restart, remove, environment; all of it checked as everywhere, as the original did not."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from bot.permissions import Action
from handlers.access import ACCOUNT, named, on_service
from handlers.orchestr8 import listing
from handlers.orchestr8.outcomes import outcome, show
from handlers.orchestr8.routing import Asked, Body, Route, done
from handlers.orchestr8.starting import start


class Named(Body):
    service: str


class Environment(Body):
    content: str


async def everything(asked: Asked) -> list[dict[str, Any]]:
    """What runs, then what could be installed."""
    store, person = asked.services.store, asked.person
    newest = await store.newest_tags()
    seen = [each for each in await store.overview() if person.may(Action.VIEW_STATUS, each.service.name)]
    packages = await store.available() if person.may(Action.ADD_NEW_SERVICE) else ()
    latest = (
        (each.service.configuration.image, listing.latest(each, newest.get(each.service.name))[1]) for each in seen
    )
    known = await store.tags_of([*latest, *((package.image, package.digest) for package in packages)])
    found = [
        listing.installed(each, asked.services.observer, newest.get(each.service.name), person, known) for each in seen
    ]
    found += listing.available(packages, {each["name"] for each in found}, known)
    return found


async def stop(asked: Asked) -> dict[str, Any]:
    name = (await asked.body(Named)).service
    await asked.commands.stop(name)
    await show(asked, name)
    return done(f"{name} is stopped.")


async def restart(asked: Asked) -> dict[str, Any]:
    return await outcome(asked, await asked.commands.restart((await asked.body(Named)).service))


async def remove(asked: Asked) -> dict[str, Any]:
    """Volumes are kept."""
    await asked.commands.remove(asked.name)
    await show(asked, asked.name)
    return done(f"{asked.name} is removed; its volumes are kept.")


async def environment(asked: Asked) -> web.Response:
    return web.Response(text=await asked.commands.read_environment(asked.name), content_type="text/plain")


async def write_environment(asked: Asked) -> dict[str, Any]:
    """Kept as written, and deployed."""
    name, content = asked.name, (await asked.body(Environment)).content
    if await asked.services.operations.environment(name) == content:
        return await _bring_environment(asked)
    deployment = await asked.commands.write_environment(name, content)
    return await outcome(asked, deployment) if deployment else done(f"The environment of {name} is saved.")


async def _bring_environment(asked: Asked) -> dict[str, Any]:
    """It is saved already; where the deployment that was to bring it failed, there is another try."""
    service = await asked.services.store.service(asked.name)
    live = await asked.services.store.deployment(service.live) if service.live else None
    lags = live is not None and live.environment_revision != service.environment_revision
    if lags and not service.is_stopped and asked.person.may(Action.DEPLOY, asked.name):
        return await outcome(asked, await asked.commands.restart(asked.name))
    return done(f"The environment of {asked.name} already is as asked for.")


ROUTES = (
    Route("GET", "/services", everything, ACCOUNT),
    Route("POST", "/services/start", start, named(Action.DEPLOY)),
    Route("POST", "/services/stop", stop, named(Action.MANAGE)),
    Route("POST", "/services/restart", restart, named(Action.DEPLOY)),
    Route("DELETE", "/services/{name}", remove, on_service(Action.MANAGE)),
    Route("GET", "/services/{name}/env", environment, on_service(Action.VIEW_ENV)),
    Route("POST", "/services/{name}/env", write_environment, on_service(Action.EDIT_ENV)),
)
