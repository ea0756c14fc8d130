"""The webhooks at GitHub."""

from __future__ import annotations

from bot.findings import Finding
from bot.permissions import Action
from handlers.commands.guard import Actor, needs_globally


class WebhookCommands(Actor):
    @needs_globally(Action.ADMIN)
    async def set_up_webhook(
        self, owner: str, repository: str = "", *, is_dry_run: bool = False
    ) -> tuple[Finding, ...]:  # fmt: skip
        """Makes or mends the webhook of `owner`, or of one repository; with `is_dry_run` only says what it would do."""
        found = await self._services.webhooks.setup.set_up(owner, repository, is_dry_run=is_dry_run)
        if not is_dry_run:
            place = f"{owner}/{repository}" if repository else owner
            await self._record("github-setup", place, {"said": [f"{one.subject}: {one.message}" for one in found]})
        return found
