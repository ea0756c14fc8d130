"""Services: what they are, and what can be done to them besides deploying."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

from pydantic import Field

from bot.configuration import read
from bot.errors import InvalidInput
from bot.models import Deployment, Service
from handlers.api import representations as shown
from handlers.api.routing import Call, Nothing, Route, Text, Values
from handlers.commands import DEFAULT_LOCK, LONGEST_LOCK


class Replicas(Values):
    replicas: Annotated[int, Field(ge=1, le=8)]


class Reason(Values):
    reason: Annotated[Text, Field(min_length=1, max_length=500)]


class LockWanted(Reason):
    seconds: int = Field(int(DEFAULT_LOCK.total_seconds()), ge=60, le=int(LONGEST_LOCK.total_seconds()))


async def everything(call: Call[None, Nothing]) -> list[dict[str, Any]]:
    """All services by name."""
    return [shown.service(service, await _live(call, service)) for service in await call.services.store.services()]


async def one(call: Call[None, Nothing]) -> dict[str, Any]:
    """One service with its configuration."""
    return await _shown(call, await call.services.store.service(call.name))


async def apply(call: Call[dict[str, Any], Nothing]) -> dict[str, Any]:
    """Adds a service or changes its configuration; the body is a service file as JSON."""
    configuration = read({"name": call.name} | call.body)
    if configuration.name != call.name:
        raise InvalidInput(f"name = {configuration.name!r} is not the service of the path, {call.name!r:.80}.")
    applied = await call.commands.apply(configuration)
    return shown.applied(applied, await _live(call, applied.service))


async def remove(call: Call[None, Nothing]) -> dict[str, Any]:
    """Takes a service off nginx and Docker; volumes and history stay."""
    await call.commands.remove(call.name)
    return {"name": call.name, "is_removed": True}


async def stop(call: Call[None, Nothing]) -> dict[str, Any]:
    """Stops a service; its site shows the maintenance page."""
    return await _shown(call, await call.commands.stop(call.name))


async def scale(call: Call[Replicas, Nothing]) -> dict[str, Any]:
    """Changes how many replicas run."""
    applied = await call.commands.scale(call.name, call.body.replicas)
    return shown.applied(applied, await _live(call, applied.service))


async def hold(call: Call[Reason, Nothing]) -> dict[str, Any]:
    """Automatic deployments are recorded but not run."""
    return await _shown(call, await call.commands.hold(call.name, call.body.reason))


async def resume(call: Call[None, Nothing]) -> dict[str, Any]:
    """Lifts a hold and looks for the newest tag at once."""
    return {"outcome": await call.commands.resume(call.name)}


async def lock(call: Call[LockWanted, Nothing]) -> dict[str, Any]:
    """Nobody deploys for a while."""
    duration = timedelta(seconds=call.body.seconds)
    return await _shown(call, await call.commands.lock(call.name, call.body.reason, duration))


async def unlock(call: Call[None, Nothing]) -> dict[str, Any]:
    """Lifts a lock."""
    await call.commands.unlock(call.name, steal=True)
    return await _shown(call, await call.services.store.service(call.name))


async def _shown(call: Call[Any, Any], service: Service) -> dict[str, Any]:
    return shown.service(service, await _live(call, service))


async def _live(call: Call[Any, Any], service: Service) -> Deployment | None:
    return await call.services.store.deployment(service.live) if service.live else None


ROUTES = (
    Route("GET", "/services", everything),
    Route("GET", "/services/{name}", one),
    Route("PUT", "/services/{name}", apply, body=dict),
    Route("DELETE", "/services/{name}", remove),
    Route("POST", "/services/{name}/stop", stop),
    Route("POST", "/services/{name}/scale", scale, body=Replicas),
    Route("PUT", "/services/{name}/hold", hold, body=Reason),
    Route("DELETE", "/services/{name}/hold", resume),
    Route("PUT", "/services/{name}/lock", lock, body=LockWanted),
    Route("DELETE", "/services/{name}/lock", unlock),
)
