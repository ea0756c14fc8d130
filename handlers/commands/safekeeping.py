"""What keeps o8 itself safe: backups, and the key of the environment values."""

from __future__ import annotations

from typing import IO

from bot.permissions import Action
from bot.safekeeping.rotation import Rotated
from handlers.commands.guard import Actor, needs_globally


class SafekeepingCommands(Actor):
    @needs_globally(Action.ADMIN)
    async def backup(self, *, with_key: bool) -> IO[bytes]:
        """An archive of everything o8 knows; with the key, whoever has it can read every environment value."""
        await self._record("backup", "o8", {"with_key": with_key})
        return await self._services.backups.make(with_key=with_key)

    @needs_globally(Action.ADMIN)
    async def rotate_key(self) -> Rotated:
        """Seals every environment value anew, with a new key."""
        rotated = await self._services.rotation.rotate()
        await self._record("rotate key", "o8", {"resealed": rotated.resealed})
        return rotated
