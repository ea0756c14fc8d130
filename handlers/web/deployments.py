"""Deployments over all services, and one of them with its steps."""

from __future__ import annotations

from aiohttp import web

from bot.permissions import Action
from handlers.access import ACCOUNT, on_deployment, on_service
from handlers.web import charts
from handlers.web.routing import Route, Visit

_PAGE = 50


async def everything(visit: Visit) -> web.Response:
    store, query = visit.services.store, visit.request.query
    before, service = query.get("before", ""), query.get("service", "")
    seen = None if visit.may(Action.VIEW_STATUS) else await visit.services.authority.seen_by(visit.person)
    start = int(before) if before.isascii() and before.isdecimal() and len(before) < 19 else 0
    found = await store.deployments(service, _PAGE, start, seen)
    if service and not found:
        await visit.services.authority.require(visit.person.actor, Action.VIEW_STATUS, service)
    return visit.render("deployments.html", deployments=found, service=service, bars=charts.bars,
                        is_known=service in await store.service_names(), running=visit.services.worker.running,
                        older=found[-1].id if len(found) == _PAGE else 0)  # fmt: skip


async def one(visit: Visit) -> web.Response:
    found = await visit.services.store.deployment(int(visit.request.match_info["id"]))
    run = visit.services.worker.running(found.service)
    return visit.render(
        "deployment.html", deployment=found, bars=charts.bars(found),
        run=run if run and run.deployment.id == found.id else None,
        log=found.log if visit.may(Action.VIEW_LOGS, found.service) else "",
    )  # fmt: skip


async def cancel(visit: Visit) -> web.Response:
    await visit.form()
    found = await visit.commands.cancel(int(visit.request.match_info["id"]))
    has_ended = found.has_ended
    return visit.go(f"/ui/deployments/{found.id}", "Cancelled." if has_ended else "Cancelled; its step ends first.")


async def approve(visit: Visit) -> web.Response:
    await visit.form()
    found = await visit.commands.approve(int(visit.request.match_info["id"]))
    return visit.go(f"/ui/deployments/{found.id}", "Approved: it runs in its turn.")


async def reject(visit: Visit) -> web.Response:
    sent = await visit.form()
    found = await visit.commands.reject(int(visit.request.match_info["id"]), sent.get("reason", ""))
    return visit.go(f"/ui/deployments/{found.id}", "Rejected.")


async def logs(visit: Visit) -> web.Response:
    """The live log; lines come by `static/o8.js`."""
    await visit.services.store.service(visit.name)
    return visit.render("logs.html", name=visit.name)


ROUTES = (
    Route("GET", "/ui/deployments", everything, ACCOUNT),
    Route("GET", "/ui/deployments/{id}", one, on_deployment(Action.VIEW_STATUS)),
    Route("POST", "/ui/deployments/{id}/cancel", cancel, on_deployment(Action.DEPLOY)),
    Route("POST", "/ui/deployments/{id}/approve", approve, on_deployment(Action.DEPLOY)),
    Route("POST", "/ui/deployments/{id}/reject", reject, on_deployment(Action.DEPLOY)),
    Route("GET", "/ui/services/{name}/logs", logs, on_service(Action.VIEW_LOGS)),
)
