"""From an image to a service that runs."""

from __future__ import annotations

from bot.configuration import Configuration
from bot.errors import Conflict
from bot.models import Deployment
from bot.permissions import Action
from handlers.commands.deployments import DeploymentCommands
from handlers.commands.guard import checks_itself
from handlers.commands.services import ServiceCommands


class InstallCommands(DeploymentCommands, ServiceCommands):
    @checks_itself(Action.ADD_NEW_SERVICE)
    async def install(self, configuration: Configuration, tag: str = "") -> Deployment:
        """A new service of an image, and its first deployment: of `tag`, else of what was pushed, else of the newest.

        Raises `Conflict` when there is a service of that name.
        """
        await self._require(Action.ADD_NEW_SERVICE)
        if configuration.name in await self._store.service_names():
            raise Conflict(f"There is a service {configuration.name} already.", "Choose another name.")
        pushed = next((p.tag for p in await self._store.packages() if p.image == configuration.image), "")
        await self.apply(configuration, expected="absent")
        await self._store.package_installed(configuration.image, configuration.name)
        return await self.first_deployment(configuration.name, tag or pushed)
