"""The machine: deliveries, audit, doctor; and a page to try the API."""

from __future__ import annotations

from functools import cache
from typing import Any

from aiohttp import web

from bot.errors import NotFound
from bot.permissions import Action
from handlers.access import ACCOUNT, globally
from handlers.api import ROUTES as CALLS
from handlers.api.openapi import document
from handlers.web.routing import Route, Visit

_PAGE = 50
_WORST_FIRST = ("fault", "warning", "ok")


async def deliveries(visit: Visit) -> web.Response:
    found = await visit.services.store.deliveries(_PAGE, visit.request.query.get("before", "")[:100])
    return visit.render("deliveries.html", deliveries=found, older=found[-1].id if len(found) == _PAGE else "")


async def run_again(visit: Visit) -> web.Response:
    await visit.form()
    outcomes = await visit.commands.run_again(visit.request.match_info["delivery"])
    return visit.go("/ui/deliveries", "; ".join(f"{service}: {outcome}" for service, outcome in outcomes.items()))


async def audit(visit: Visit) -> web.Response:
    query, store = visit.request.query, visit.services.store
    before, subject = query.get("before", ""), query.get("subject", "")[:255]
    start = int(before) if before.isascii() and before.isdecimal() and len(before) < 19 else 0
    found = await store.audit(_PAGE, subject, start)
    return visit.render("audit.html", entries=found, subject=subject, broken_from=await store.verify_audit(),
                        older=found[-1].id if len(found) == _PAGE else 0)  # fmt: skip


async def doctor(visit: Visit) -> web.Response:
    found = await visit.services.doctor.check()
    return visit.render("doctor.html", findings=sorted(found, key=lambda each: _WORST_FIRST.index(each.state)))


async def missing(visit: Visit) -> web.Response:
    raise NotFound(f"There is no page {visit.request.path!r:.80}.", "The links above lead to those that there are.")


async def api(visit: Visit) -> web.Response:
    """Every call of /api/v1 with a form to try it."""
    return visit.render("api.html", paths=_paths())


@cache
def _paths() -> dict[str, Any]:
    return document(CALLS)["paths"]  # type: ignore[no-any-return]


ROUTES = (
    Route("GET", "/ui/deliveries", deliveries, globally(Action.VIEW_STATUS)),
    Route("POST", "/ui/deliveries/{delivery}/run", run_again, globally(Action.DEPLOY)),
    Route("GET", "/ui/audit", audit, globally(Action.ADMIN)),
    Route("GET", "/ui/doctor", doctor, globally(Action.ADMIN)),
    Route("GET", "/ui/api", api, ACCOUNT),
    Route("GET", "/ui/{rest:.+}", missing, ACCOUNT),  # the last of all
)
