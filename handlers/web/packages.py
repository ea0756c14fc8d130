"""Images: those that could be installed, and what there is of a service's own."""

from __future__ import annotations

from aiohttp import web

from bot.packages.listing import Available
from bot.permissions import Action
from handlers.access import globally, on_service
from handlers.web.routing import Route, Visit

PAGE = 50


async def available(visit: Visit) -> web.Response:
    """All of them, in pages; those with a text in their name when one is looked for."""
    query = visit.request.query
    wanted, found = query.get("search", "").strip().lower()[:200], await visit.services.listing.available()
    fitting = tuple(package for package in found.packages if wanted in package.image)
    part, following = Available.model_copy(found, update={"packages": fitting}).page(PAGE, query.get("before", ""))
    return visit.render("available.html", packages=part, following=following, search=wanted, total=len(fitting),
                        note=found.note)  # fmt: skip


async def versions(visit: Visit) -> web.Response:
    found = await visit.services.listing.versions(visit.name)
    part, following = found.page(PAGE, visit.request.query.get("before", ""))
    return visit.render("versions.html", name=visit.name, found=found, versions=part, following=following)


ROUTES = (
    Route("GET", "/ui/available", available, globally(Action.ADD_NEW_SERVICE)),
    Route("GET", "/ui/services/{name}/versions", versions, on_service(Action.VIEW_STATUS)),
)
