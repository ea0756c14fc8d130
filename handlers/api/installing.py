"""From an image to a service, in one call."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from bot.configuration import Configuration
from bot.errors import InvalidInput
from bot.models import Model
from bot.packages.proposal import Offer
from bot.permissions import Action
from handlers.access import globally
from handlers.api import representations as shown
from handlers.api.representations import Summary
from handlers.api.routing import Call, Route, Values


class Mode(Values):
    dry_run: bool = False


class ShownInstallation(Model):
    """What the new service is. `deployment` is its first one; null after a dry run."""

    service: str
    image: str
    tag: str
    digest: str
    hosts: tuple[str, ...] = Field(description="host names that it is reached by")
    configuration: Configuration
    notes: tuple[str, ...] = Field(description="where its values come from, and labels that were not obeyed")
    doubts: tuple[str, ...] = Field(description="why o8 would not have installed it by itself")
    deployment: Summary | None


async def install(call: Call[dict[str, Any], Mode]) -> ShownInstallation:
    """Makes a service of an image and deploys it; what the body does not say comes from the image.

    The body is a service file as JSON of which only `image` is needed, with a tag or without. With `?dry_run=1` nothing
    is done.
    """
    changes = dict(call.body)
    reference = changes.pop("image", None)
    if not isinstance(reference, str):
        raise InvalidInput("image is missing.", 'Such as {"image": "ghcr.io/acme/web:0005"}.')
    offer = await call.commands.offer(reference, changes)
    if call.query.dry_run:
        return _shown(offer, None)
    deployment = await call.commands.install(offer.configuration, offer.tag or offer.digest)
    return _shown(offer, shown.summary(deployment))


def _shown(offer: Offer, deployment: Summary | None) -> ShownInstallation:
    return ShownInstallation(
        service=offer.configuration.name, image=offer.image, tag=offer.tag, digest=offer.digest, hosts=offer.hosts,
        configuration=offer.configuration, notes=offer.notes, doubts=offer.doubts, deployment=deployment,
    )  # fmt: skip


ROUTES = (
    Route("POST", "/services", install, globally(Action.ADD_NEW_SERVICE), ShownInstallation, body=dict, query=Mode),
)
