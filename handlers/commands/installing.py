"""From an image to a service that runs."""

from __future__ import annotations

from typing import Any

from bot.configuration import Configuration
from bot.errors import Conflict
from bot.models import Deployment
from bot.packages.proposal import Offer
from bot.permissions import Action
from handlers.commands.deployments import DeploymentCommands
from handlers.commands.guard import checks_itself, needs_globally
from handlers.commands.services import ServiceCommands


class InstallCommands(DeploymentCommands, ServiceCommands):
    @needs_globally(Action.ADD_NEW_SERVICE)
    async def offer(
        self, reference: str, changes: dict[str, Any] | None = None, *, patience_s: float | None = None
    ) -> Offer:
        """What a service of an image would be, with `changes`, keys of a service file that are wanted otherwise.

        With `patience_s` (seconds) it never fails for a registry that is slow or away: then it is a guess that says so.
        """
        if patience_s is not None:
            return await self._services.offers.soon(reference, patience_s)
        return await self._services.offers.of(reference, changes)

    @checks_itself(Action.ADD_NEW_SERVICE)
    async def install(self, configuration: Configuration, tag: str = "") -> Deployment:
        """A new service of an image, and its first deployment: of `tag` (or digest), else of what was pushed, else of
        the newest.

        Raises `Conflict` when there is a service of that name.
        """
        await self._require(Action.ADD_NEW_SERVICE)
        if configuration.name in await self._store.service_names():
            raise Conflict(f"There is a service {configuration.name} already.", "Choose another name.")
        pushed = next((p.tag for p in await self._store.packages() if p.image == configuration.image), "")
        await self.apply(configuration, expected="absent")
        await self._store.package_installed(configuration.image, configuration.name)
        return await self.first_deployment(configuration.name, tag or pushed)
