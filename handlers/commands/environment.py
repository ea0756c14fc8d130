"""The environment of a service. Values are never recorded, only names."""

from __future__ import annotations

from bot.models import Deployment
from bot.permissions import Action
from handlers.commands.guard import Actor, needs


class EnvironmentCommands(Actor):
    @needs(Action.EDIT_ENV)
    async def set_environment(self, service: str, values: dict[str, str]) -> Deployment | None:
        """Sets environment values and deploys them."""
        deployment = await self._services.operations.set_environment(service, values, self._actor)
        await self._record("env set", service, {"names": sorted(values)})
        return deployment

    @needs(Action.EDIT_ENV)
    async def unset_environment(self, service: str, names: list[str]) -> Deployment | None:
        """Removes environment values and deploys that."""
        deployment = await self._services.operations.unset_environment(service, names, self._actor)
        await self._record("env unset", service, {"names": sorted(names)})
        return deployment

    @needs(Action.EDIT_ENV)
    async def change_environment(self, service: str, values: dict[str, str], removed: list[str]) -> Deployment | None:
        """Sets and removes environment values and deploys that, all of it or nothing."""
        deployment = await self._services.operations.change_environment(service, values, removed, self._actor)
        await self._record("env change", service, {"set": sorted(values), "unset": sorted(removed)})
        return deployment

    @needs(Action.EDIT_ENV)
    async def write_environment(self, service: str, text: str) -> Deployment | None:
        """Replaces the whole `.env` text, kept as written, and deploys it."""
        deployment = await self._services.operations.write_environment(service, text, self._actor)
        await self._record("env write", service)
        return deployment

    @needs(Action.VIEW_ENV)
    async def read_environment(self, service: str) -> str:
        """The `.env` text with its values; recorded, as it shows secrets."""
        text = await self._services.operations.environment(service)
        await self._record("env read", service)
        return text
