"""The whole machine: status, deliveries, doctor, audit."""

from __future__ import annotations

import asyncio
from typing import Any

from bot.models import Service
from handlers.api import representations as shown
from handlers.api.routing import Call, Limit, Nothing, Route, Values


class Newest(Values):
    limit: Limit = 20


async def status(call: Call[None, Nothing]) -> list[dict[str, Any]]:
    """Every service in short: what serves since when, what hinders it, its last deployment."""
    services = await call.services.store.services()
    return list(await asyncio.gather(*(_status(call, service) for service in services)))


async def deliveries(call: Call[None, Newest]) -> list[dict[str, Any]]:
    """Webhooks as received, with o8's verdict, newest first."""
    return [delivery.model_dump(mode="json") for delivery in await call.services.store.deliveries(call.query.limit)]


async def delivery(call: Call[None, Nothing]) -> dict[str, Any]:
    """One webhook."""
    found = await call.services.store.delivery(call.request.match_info["delivery"])
    return found.model_dump(mode="json")


async def doctor(call: Call[None, Nothing]) -> list[dict[str, Any]]:
    """What o8 needs, checked now."""
    return [finding.model_dump(mode="json") for finding in await call.services.doctor.check()]


async def audit(call: Call[None, Newest]) -> list[dict[str, Any]]:
    """Who did what, newest first."""
    return [entry.model_dump(mode="json") for entry in await call.services.store.audit(call.query.limit)]


async def audit_verification(call: Call[None, Nothing]) -> dict[str, Any]:
    """Whether nobody has edited the audit; else the first entry that does not fit."""
    broken_from = await call.services.store.verify_audit()
    return {"is_whole": broken_from is None, "broken_from": broken_from}


async def _status(call: Call[None, Nothing], service: Service) -> dict[str, Any]:
    store = call.services.store
    live = await store.deployment(service.live) if service.live else None
    newest = await store.deployments(service.name, limit=1)
    run = call.services.worker.running(service.name)
    return {
        "service": service.name,
        "image": service.configuration.image,
        "release": live.release if live else None,
        "state": shown.state(service),
        "since": live.switched_at.isoformat() if live and live.switched_at else None,
        "replicas": live.configuration.replicas if live else 0,
        "hold": service.hold.model_dump(mode="json") if service.hold else None,
        "lock": shown.lock(service.lock),
        "running": shown.summary(run.deployment) if run else None,
        "last_deployment": shown.summary(newest[0]) if newest else None,
    }


ROUTES = (
    Route("GET", "/status", status),
    Route("GET", "/deliveries", deliveries, query=Newest),
    Route("GET", "/deliveries/{delivery}", delivery),
    Route("GET", "/doctor", doctor),
    Route("GET", "/audit", audit, query=Newest),
    Route("GET", "/audit/verification", audit_verification),
)
