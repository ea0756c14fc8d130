"""Deployments and releases: ask for one, watch it, cancel it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from bot.errors import InvalidInput
from bot.models import Deployment
from handlers.api import representations as shown
from handlers.api.routing import LARGEST_ID, Call, Limit, Nothing, Route, Text, Values


class DeploymentWanted(Values):
    kind: Literal["deploy", "rollback", "restart", "start"] = "deploy"
    release: Text = Field("", max_length=255)


class Page(Values):
    """`before`: only ids below it, for the next page; 0 is from the newest."""

    service: str = ""
    limit: Limit = 20
    before: int = Field(0, ge=0, le=LARGEST_ID)


async def want(call: Call[DeploymentWanted, Nothing]) -> dict[str, Any] | None:
    """Asks for a deployment; answers at once, watch it by its id."""
    kind, release, commands = call.body.kind, call.body.release, call.commands
    if kind == "deploy":
        return shown.summary(await commands.deploy(call.name, release, bypass=True))
    if kind == "rollback":
        return shown.summary(await commands.rollback(call.name, release))
    if release:
        raise InvalidInput(f"A {kind} takes no release: it keeps the one that serves.", 'Use kind "deploy".')
    return shown.summary(await (commands.restart if kind == "restart" else commands.start)(call.name))


async def everything(call: Call[None, Page]) -> list[dict[str, Any] | None]:
    """Deployments, newest first; those of a service that was removed stay."""
    query, store = call.query, call.services.store
    found = await store.deployments(query.service, query.limit, query.before)
    if query.service and not found:
        await store.service(query.service)  # raises with the names that come close
    return [shown.summary(deployment) for deployment in found]


async def one(call: Call[None, Nothing]) -> dict[str, Any]:
    """One deployment with its steps, and its progress while it runs."""
    return _whole(call, await call.services.store.deployment(call.id))


async def releases(call: Call[None, Nothing]) -> list[dict[str, Any] | None]:
    """What rollback chooses from, newest first."""
    return [shown.summary(release) for release in await call.services.store.releases(call.name)]


async def cancel(call: Call[None, Nothing]) -> dict[str, Any]:
    """Ends a deployment that has not switched yet; rejects one that waits for approval."""
    return _whole(call, await call.commands.cancel(call.id))


async def approve(call: Call[None, Nothing]) -> dict[str, Any]:
    """Lets a deployment run that waits for approval."""
    return _whole(call, await call.commands.approve(call.id))


def _whole(call: Call[Any, Any], deployment: Deployment) -> dict[str, Any]:
    return shown.deployment(deployment, call.services.worker.running(deployment.service))


ROUTES = (
    Route("POST", "/services/{name}/deployments", want, body=DeploymentWanted, status=202),
    Route("GET", "/services/{name}/releases", releases),
    Route("GET", "/deployments", everything, query=Page),
    Route("GET", "/deployments/{id}", one),
    Route("POST", "/deployments/{id}/cancel", cancel),
    Route("POST", "/deployments/{id}/approve", approve),
)
