"""The whole machine: status, deliveries, doctor, audit."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from bot.findings import Finding
from bot.models import AuditEntry, Delivery, Model
from bot.permissions import Action
from bot.pruning import Pruned
from bot.store.history import Overview
from handlers.access import ACCOUNT, globally
from handlers.api import representations as shown
from handlers.api.representations import ShownStatus
from handlers.api.routing import LARGEST_ID, Call, Limit, Nothing, Page, Route, Text, Values
from handlers.api.services import Outcome


class Received(Values):
    """`before`: only those received before this one, for the next page."""

    limit: Limit = 20
    before: Annotated[Text, Field(max_length=100)] = ""


class Entries(Values):
    """`before`: only ids below it, for the next page. `subject`: such as a service, only what was done to it."""

    limit: Limit = 20
    before: int = Field(0, ge=0, le=LARGEST_ID)
    subject: Annotated[Text, Field(max_length=255)] = ""


class Prune(Values):
    """`dry_run`: only say what would be removed."""

    dry_run: bool = False


class Verification(Model):
    """`broken_from`: the first entry that does not fit."""

    is_whole: bool
    broken_from: int | None


async def status(call: Call[None, Nothing]) -> list[ShownStatus]:
    """Every service in short: what serves since when, what hinders it, its last deployment."""
    newest = await call.services.store.newest_tags()
    return [
        _status(call, each, newest[each.service.name].tag if each.service.name in newest else None)
        for each in await call.services.store.overview()
        if call.person.may(Action.VIEW_STATUS, each.service.name)
    ]


async def deliveries(call: Call[None, Received]) -> Page:
    """Webhooks as received, with o8's verdict, newest first."""
    query = call.query
    found = await call.services.store.deliveries(query.limit, query.before)
    return Page(list(found), {"before": found[-1].id} if len(found) == query.limit else {})


async def delivery(call: Call[None, Nothing]) -> Delivery:
    """One webhook."""
    return await call.services.store.delivery(call.request.match_info["delivery"])


async def run_again(call: Call[None, Nothing]) -> list[Outcome]:
    """Looks again for what a webhook brought, for every service of its image."""
    outcomes = await call.commands.run_again(call.request.match_info["delivery"])
    return [Outcome(service=service, outcome=outcome) for service, outcome in outcomes.items()]


async def doctor(call: Call[None, Nothing]) -> list[Finding]:
    """What o8 needs, checked now."""
    return list(await call.services.doctor.check())


async def prune(call: Call[None, Prune]) -> Pruned:
    """Removes the images that o8 pulled and that no release needs."""
    return await call.commands.prune(is_dry_run=call.query.dry_run)


async def audit(call: Call[None, Entries]) -> Page:
    """Who did what, newest first."""
    query = call.query
    found = await call.services.store.audit(query.limit, query.subject, query.before)
    return Page(list(found), {"before": found[-1].id} if len(found) == query.limit else {})


async def audit_verification(call: Call[None, Nothing]) -> Verification:
    """Whether nobody has edited the audit."""
    broken_from = await call.services.store.verify_audit()
    return Verification(is_whole=broken_from is None, broken_from=broken_from)


def _status(call: Call[Any, Any], found: Overview, newest: str | None) -> ShownStatus:
    service, live = found.service, found.live
    run = call.services.worker.running(service.name)
    now = call.services.observer.now(service.name)
    return ShownStatus(
        service=service.name, image=service.configuration.image, release=live.release if live else None, newest=newest,
        state=shown.state(service), since=live.switched_at if live else None,
        replicas=live.configuration.replicas if live else 0, cpus=now.cpus if now else None,
        memory_bytes=now.memory_bytes if now else None, hold=service.hold, lock=shown.lock(service.lock),
        running=shown.summary(run.deployment) if run else None, last_deployment=shown.summary(found.last),
    )  # fmt: skip


ROUTES = (
    Route("GET", "/status", status, ACCOUNT, list[ShownStatus]),
    Route("GET", "/deliveries", deliveries, globally(Action.VIEW_STATUS), list[Delivery], query=Received),
    Route("GET", "/deliveries/{delivery}", delivery, globally(Action.VIEW_STATUS), Delivery),
    Route("POST", "/deliveries/{delivery}/run", run_again, globally(Action.DEPLOY), list[Outcome]),
    Route("GET", "/doctor", doctor, globally(Action.ADMIN), list[Finding]),
    Route("POST", "/prune", prune, globally(Action.ADMIN), Pruned, query=Prune),
    Route("GET", "/audit", audit, globally(Action.ADMIN), list[AuditEntry], query=Entries),
    Route("GET", "/audit/verification", audit_verification, globally(Action.ADMIN), Verification),
)
