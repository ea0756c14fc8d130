"""Services: what they are, and what can be done to them besides deploying."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

from pydantic import Field

from bot.configuration import read
from bot.errors import InvalidInput
from bot.models import Deployment, Model, Service
from bot.permissions import Action
from handlers.access import ACCOUNT, named, on_service
from handlers.api import representations as shown
from handlers.api.representations import Removed, ShownApplied, ShownService
from handlers.api.routing import Call, Nothing, Route, Text, Values
from handlers.commands import DEFAULT_LOCK, LONGEST_LOCK


class Replicas(Values):
    replicas: Annotated[int, Field(ge=1, le=8)]


class Reason(Values):
    reason: Annotated[Text, Field(min_length=1, max_length=500)]


class Outcome(Model):
    """What came of a look for the newest tag, in a sentence."""

    service: str
    outcome: str


class LockWanted(Reason):
    seconds: int = Field(int(DEFAULT_LOCK.total_seconds()), ge=60, le=int(LONGEST_LOCK.total_seconds()))


async def everything(call: Call[None, Nothing]) -> list[ShownService]:
    """Services by name, as far as one may see them."""
    return [
        shown.service(each.service, each.live, call.person)
        for each in await call.services.store.overview()
        if call.person.may(Action.VIEW_STATUS, each.service.name)
    ]


async def one(call: Call[None, Nothing]) -> ShownService:
    """One service."""
    service = await call.services.store.service(call.name)
    certificate = shown.certificate(await call.services.standings.of(service))
    return (await _shown(call, service)).model_copy(update={"certificate": certificate})


async def apply(call: Call[dict[str, Any], Nothing]) -> ShownApplied:
    """Adds a service or changes its configuration; the body is a service file as JSON."""
    configuration = read({"name": call.name} | call.body)
    if configuration.name != call.name:
        raise InvalidInput(f"name = {configuration.name!r} is not the service of the path, {call.name!r:.80}.")
    applied = await call.commands.apply(configuration)
    return shown.applied(applied, await _live(call, applied.service), call.person)


async def remove(call: Call[None, Nothing]) -> Removed:
    """Takes a service off nginx and Docker; volumes and history stay."""
    await call.commands.remove(call.name)
    return Removed(name=call.name)


async def stop(call: Call[None, Nothing]) -> ShownService:
    """Stops a service; its site shows the maintenance page."""
    return await _shown(call, await call.commands.stop(call.name))


async def scale(call: Call[Replicas, Nothing]) -> ShownApplied:
    """Changes how many replicas run."""
    applied = await call.commands.scale(call.name, call.body.replicas)
    return shown.applied(applied, await _live(call, applied.service), call.person)


async def retry_certificate(call: Call[None, Nothing]) -> ShownService:
    """The certificate authority is asked again at once; for `tls = "auto"`."""
    return await _shown(call, await call.commands.retry_certificate(call.name))


async def hold(call: Call[Reason, Nothing]) -> ShownService:
    """Automatic deployments are recorded but not run."""
    return await _shown(call, await call.commands.hold(call.name, call.body.reason))


async def resume(call: Call[None, Nothing]) -> Outcome:
    """Lifts a hold and looks for the newest tag at once."""
    return Outcome(service=call.name, outcome=await call.commands.resume(call.name))


async def lock(call: Call[LockWanted, Nothing]) -> ShownService:
    """Nobody deploys for a while."""
    duration = timedelta(seconds=call.body.seconds)
    return await _shown(call, await call.commands.lock(call.name, call.body.reason, duration))


async def unlock(call: Call[None, Nothing]) -> ShownService:
    """Lifts a lock."""
    await call.commands.unlock(call.name, steal=True)
    return await _shown(call, await call.services.store.service(call.name))


async def _shown(call: Call[Any, Any], service: Service) -> ShownService:
    return shown.service(service, await _live(call, service), call.person)


async def _live(call: Call[Any, Any], service: Service) -> Deployment | None:
    return await call.services.store.deployment(service.live) if service.live else None


ROUTES = (
    Route("GET", "/services", everything, ACCOUNT, list[ShownService]),
    Route("GET", "/services/{name}", one, on_service(Action.VIEW_STATUS), ShownService),
    Route("PUT", "/services/{name}", apply, named(Action.EDIT_CONFIGURATION), ShownApplied, body=dict),
    Route("DELETE", "/services/{name}", remove, on_service(Action.MANAGE), Removed),
    Route("POST", "/services/{name}/stop", stop, on_service(Action.MANAGE), ShownService),
    Route("POST", "/services/{name}/scale", scale, on_service(Action.MANAGE), ShownApplied, body=Replicas),
    Route("POST", "/services/{name}/certificate", retry_certificate, on_service(Action.MANAGE), ShownService),
    Route("PUT", "/services/{name}/hold", hold, on_service(Action.MANAGE), ShownService, body=Reason),
    Route("DELETE", "/services/{name}/hold", resume, on_service(Action.DEPLOY), Outcome),
    Route("PUT", "/services/{name}/lock", lock, on_service(Action.DEPLOY), ShownService, body=LockWanted),
    Route("DELETE", "/services/{name}/lock", unlock, on_service(Action.DEPLOY), ShownService),
)
