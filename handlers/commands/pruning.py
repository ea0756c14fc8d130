"""Room on the disk."""

from __future__ import annotations

from bot.permissions import Action
from bot.pruning import Pruned
from handlers.commands.guard import Actor, needs_globally


class PruneCommands(Actor):
    @needs_globally(Action.ADMIN)
    async def prune(self, *, is_dry_run: bool = False) -> Pruned:
        """Removes images that o8 pulled and that no release needs; with `is_dry_run` only says which."""
        pruned = await self._services.pruner.prune(is_dry_run=is_dry_run)
        await self._services.pruner.record(pruned, self._actor)
        return pruned
