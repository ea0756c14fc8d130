"""Images: those that could be installed, and what there is of a service's own. Answered from what is at hand."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from bot.chat import Package
from bot.models import Model
from bot.packages.versions import Version
from bot.permissions import Action
from handlers.access import globally, on_service
from handlers.api.routing import Call, Limit, Page, Route, Text, Values


class Part(Values):
    """`before`: of the page before, its `next`."""

    limit: Limit = 20
    before: Annotated[Text, Field(max_length=400)] = ""


class ShownPackage(Model):
    """`tag` and `digest` are of the newest push. `repository`: at GitHub. `name`: what a service could be called."""

    image: str
    tag: str
    digest: str
    pushed_at: datetime | None
    repository: str
    name: str


class ShownAvailable(Model):
    """`note` says for people how old that is, and what hinders o8 from knowing more; `trouble` only the latter."""

    packages: list[ShownPackage]
    total: int
    next: str | None = Field(description="`before` of the next page")
    looked_at: datetime | None = Field(description="when GitHub's list was last read")
    trouble: str
    note: str


class ShownVersions(Model):
    """The newest first. `note` says for people where that is from, and how old it is."""

    service: str
    image: str
    source: Literal["github", "registry"] = Field(description="the registry knows neither digests nor times")
    looked_at: datetime | None
    note: str
    versions: tuple[Version, ...]
    total: int
    next: str | None = Field(description="`before` of the next page")


async def available(call: Call[None, Part]) -> Page:
    """Images that no service uses, pushed or listed at GitHub, the newest push first."""
    found = await call.services.listing.available()
    part, following = found.page(call.query.limit, call.query.before)
    shown = ShownAvailable(
        packages=[_shown(each) for each in part], total=len(found.packages), next=following or None,
        looked_at=found.looked_at, trouble=found.trouble, note=found.note,
    )  # fmt: skip
    return Page(shown, _next(following))


async def versions(call: Call[None, Part]) -> Page:
    """What there is of a service's image, the newest first: what runs, what is newer, what is kept here."""
    found = await call.services.listing.versions(call.name)
    part, following = found.page(call.query.limit, call.query.before)
    shown = ShownVersions(
        service=found.service, image=found.image, source=found.source, looked_at=found.looked_at, note=found.note,
        versions=part, total=len(found.versions), next=following or None,
    )  # fmt: skip
    return Page(shown, _next(following))


def _shown(package: Package) -> ShownPackage:
    return ShownPackage(
        image=package.image, tag=package.tag, digest=package.digest, pushed_at=package.pushed_at,
        repository=package.repository, name=package.service_name,
    )  # fmt: skip


def _next(before: str) -> dict[str, str]:
    return {"before": before} if before else {}


ROUTES = (
    Route("GET", "/packages", available, globally(Action.ADD_NEW_SERVICE), ShownAvailable, query=Part),
    Route("GET", "/services/{name}/versions", versions, on_service(Action.VIEW_STATUS), ShownVersions, query=Part),
)
