"""Deployments and releases: ask for one, watch it, cancel it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from bot.errors import InvalidInput
from bot.models import Deployment
from bot.permissions import Action
from handlers import access
from handlers.access import ACCOUNT, on_deployment, on_service
from handlers.api import representations as shown
from handlers.api.representations import ShownDeployment, Summary
from handlers.api.routing import LARGEST_ID, Call, Limit, Nothing, Page, Route, Text, Values


class DeploymentWanted(Values):
    kind: Literal["deploy", "rollback", "restart", "start"] = "deploy"
    release: Text = Field("", max_length=255)
    bypass: bool = Field(False, description="without approval where the policy asks for one; needs `manage`")
    reason: Text = Field("", max_length=500)


class Reason(Values):
    reason: Text = Field(min_length=1, max_length=500)


class Part(Values):
    """`before`: only ids below it, for the next page; 0 is from the newest."""

    service: str = ""
    limit: Limit = 20
    before: int = Field(0, ge=0, le=LARGEST_ID)


async def want(call: Call[DeploymentWanted, Nothing]) -> Summary | None:
    """Asks for a deployment; answers at once, watch it by its id."""
    kind, release, reason, commands = call.body.kind, call.body.release, call.body.reason, call.commands
    if kind == "deploy":
        return shown.summary(await commands.deploy(call.name, release, bypass=_bypasses(call), reason=reason))
    if kind == "rollback":
        return shown.summary(await commands.rollback(call.name, release, reason=reason))
    if release:
        raise InvalidInput(f"A {kind} takes no release: it keeps the one that serves.", 'Use kind "deploy".')
    if kind == "restart":
        return shown.summary(await commands.restart(call.name, reason=reason))
    return shown.summary(await commands.start(call.name))


def _bypasses(call: Call[DeploymentWanted, Nothing]) -> bool:
    """Who is at the machine itself has nobody else to ask; everybody else has to say so."""
    return call.body.bypass or access.caller_of(call.request).way == "socket"


async def everything(call: Call[None, Part]) -> Page:
    """Deployments, newest first; whoever may see all services also sees those of services that were removed."""
    query, store = call.query, call.services.store
    seen = None if call.person.may(Action.VIEW_STATUS) else await call.services.authority.seen_by(call.person)
    found = await store.deployments(query.service, query.limit, query.before, seen)
    if query.service and not found and not query.before:  # the page after the last one is empty, whatever is left
        await call.services.authority.require(call.person.actor, Action.VIEW_STATUS, query.service)
    return Page(shown.summaries(found), {"before": found[-1].id} if len(found) == query.limit else {})


async def one(call: Call[None, Nothing]) -> ShownDeployment:
    """One deployment with its steps, and its progress while it runs."""
    return _whole(call, await call.services.store.deployment(call.id))


async def releases(call: Call[None, Nothing]) -> list[Summary]:
    """What rollback chooses from, newest first."""
    return shown.summaries(await call.services.store.releases(call.name))


async def cancel(call: Call[None, Nothing]) -> ShownDeployment:
    """Ends a deployment that has not switched yet; rejects one that waits for approval."""
    return _whole(call, await call.commands.cancel(call.id))


async def approve(call: Call[None, Nothing]) -> ShownDeployment:
    """Lets a deployment run that waits for approval."""
    return _whole(call, await call.commands.approve(call.id))


async def reject(call: Call[Reason, Nothing]) -> ShownDeployment:
    """Ends a deployment that waits for approval, with a reason."""
    return _whole(call, await call.commands.reject(call.id, call.body.reason))


def _whole(call: Call[Any, Any], deployment: Deployment) -> ShownDeployment:
    return shown.deployment(deployment, call.person, call.services.worker.running(deployment.service))


ROUTES = (
    Route("POST", "/services/{name}/deployments", want, on_service(Action.DEPLOY), Summary, body=DeploymentWanted,
          status=202),
    Route("GET", "/services/{name}/releases", releases, on_service(Action.VIEW_STATUS), list[Summary]),
    Route("GET", "/deployments", everything, ACCOUNT, list[Summary], query=Part),
    Route("GET", "/deployments/{id}", one, on_deployment(Action.VIEW_STATUS), ShownDeployment),
    Route("POST", "/deployments/{id}/cancel", cancel, on_deployment(Action.DEPLOY), ShownDeployment),
    Route("POST", "/deployments/{id}/approve", approve, on_deployment(Action.DEPLOY), ShownDeployment),
    Route("POST", "/deployments/{id}/reject", reject, on_deployment(Action.DEPLOY), ShownDeployment, body=Reason),
)  # fmt: skip
