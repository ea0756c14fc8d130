"""What the original Orchestr8 kept, taken over. The plan is `bot.importing`'s; here it is made, and carried out."""

from __future__ import annotations

import asyncio

from bot.errors import Conflict, O8Error
from bot.importing import Original, Outcome, Plan, PlannedService, PlannedUser
from bot.importing.plan import Draft, Here, ServiceDraft, UserDraft, draft
from bot.permissions import Action, service_of
from handlers.commands.environment import EnvironmentCommands
from handlers.commands.guard import needs_globally
from handlers.commands.people import PeopleCommands
from handlers.commands.services import ServiceCommands


class ImportCommands(ServiceCommands, EnvironmentCommands, PeopleCommands):
    @needs_globally(Action.ADMIN)
    async def import_original(self, original: Original, *, is_dry_run: bool) -> Plan:
        """Adds the original's services and users, each by itself; deploys nothing, changes nothing that is here.

        A dry run only says what would be done. Raises `EngineUnavailable`: what runs must be known.
        """
        found = await self._draft(original)
        if is_dry_run:
            return Plan(
                is_applied=False, services=tuple(each.shown for each in found.services),
                users=tuple(each.shown for each in found.users), notes=original.notes,
            )  # fmt: skip
        services = [await self._add_service(each) for each in found.services]
        users = [await self._add_user(each) for each in found.users]
        added = [one.name for one in services if one.outcome is Outcome.ADDED]
        people = [one.username for one in users if one.outcome is Outcome.ADDED]
        if added or people:
            await self._record("import", "original", {"services": added, "users": people})
        return Plan(is_applied=True, services=tuple(services), users=tuple(users), notes=original.notes)

    async def _draft(self, original: Original) -> Draft:
        services, users = await self._store.services(), await self._store.users()
        images = await self._services.images.of_strangers()
        here = Here(services, users, self._services.authority.admin, images)
        return await asyncio.to_thread(draft, original, here)  # megabytes of text may be read

    async def _add_service(self, wanted: ServiceDraft) -> PlannedService:
        shown = wanted.shown
        if shown.outcome is not Outcome.TO_ADD:
            return shown
        try:
            if shown.configuration:
                if shown.name in await self._store.service_names():  # a moment ago there was none
                    raise Conflict(f"Somebody else has added {shown.name} meanwhile.", "Import again.")
                await self.apply(shown.configuration)
            if wanted.environment.strip():  # comments alone are kept, too
                await self.write_environment(shown.name, wanted.environment)
        except O8Error as trouble:
            return shown.model_copy(update={"outcome": Outcome.REFUSED, "error": str(trouble)})
        return shown.model_copy(update={"outcome": Outcome.ADDED})

    async def _add_user(self, wanted: UserDraft) -> PlannedUser:
        """With the rights in services that are here by now; what is missing is said."""
        shown = wanted.shown
        if shown.outcome is not Outcome.TO_ADD:
            return shown
        names = await self._store.service_names()
        given = tuple(r for r in shown.rights if not service_of(r.scope) or service_of(r.scope) in names)
        missing = tuple(f"{r.action} in {r.scope}: it was not added" for r in shown.rights if r not in given)
        rights = [(right.action, right.scope) for right in given]
        try:
            for action, scope in rights:
                await self._require_granter(action, scope, None)
            await self._store.add_user(shown.username, wanted.hash, rights, self._actor)
        except O8Error as trouble:
            return shown.model_copy(update={"outcome": Outcome.REFUSED, "error": str(trouble)})
        await self._record("user add", shown.username, {"rights": [f"{action} {scope}" for action, scope in rights]})
        update = {"outcome": Outcome.ADDED, "rights": given, "warnings": (*shown.warnings, *missing)}
        return shown.model_copy(update=update)
