"""Images: those that could be installed, and what there is of a service's own. Answered from what is at hand."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import Field

from bot.chat import Package
from bot.errors import InvalidInput, NotFound
from bot.models import Model
from bot.permissions import Action
from bot.versions import Version
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
    rest = [each for each in found.packages if not call.query.before or _place(each) < _read(call.query.before)]
    part = rest[: call.query.limit]
    following = "{:%Y-%m-%dT%H:%M:%S.%fZ} {}".format(*_place(part[-1])) if len(rest) > len(part) else None
    shown = ShownAvailable(
        packages=[_shown(each) for each in part], total=len(found.packages), next=following,
        looked_at=found.looked_at, trouble=found.trouble, note=found.note,
    )  # fmt: skip
    return Page(shown, _next(following))


async def versions(call: Call[None, Part]) -> Page:
    """What there is of a service's image, the newest first, with marks: serves, newest, newer, kept here."""
    found = await call.services.listing.versions(call.name)
    names = [each.reference for each in found.versions]
    if call.query.before and call.query.before not in names:
        raise NotFound(f"{call.name} has no version {call.query.before!r:.140} any more.", "Begin at the first page.")
    start = names.index(call.query.before) + 1 if call.query.before else 0
    end = start + call.query.limit
    following = names[end - 1] if end < len(names) else None
    shown = ShownVersions(
        service=found.service, image=found.image, source=found.source, looked_at=found.looked_at, note=found.note,
        versions=found.versions[start:end], total=len(names), next=following,
    )  # fmt: skip
    return Page(shown, _next(following))


def _shown(package: Package) -> ShownPackage:
    return ShownPackage(
        image=package.image, tag=package.tag, digest=package.digest, pushed_at=package.pushed_at,
        repository=package.repository, name=package.service_name,
    )  # fmt: skip


def _place(package: Package) -> tuple[datetime, str]:
    """In the order of the list."""
    return (package.pushed_at or package.first_seen).astimezone(UTC), package.image


def _read(before: str) -> tuple[datetime, str]:
    time, _, image = before.partition(" ")
    try:
        return datetime.fromisoformat(time).astimezone(UTC), image
    except (ValueError, OverflowError):
        raise InvalidInput("before is not the `next` of another page.", "Begin at the first page.") from None


def _next(before: str | None) -> dict[str, str]:
    return {"before": before} if before is not None else {}


ROUTES = (
    Route("GET", "/packages", available, globally(Action.ADD_NEW_SERVICE), ShownAvailable, query=Part),
    Route("GET", "/services/{name}/versions", versions, on_service(Action.VIEW_STATUS), ShownVersions, query=Part),
)
