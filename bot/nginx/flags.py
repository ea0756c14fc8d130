"""The switch. Which slot serves is whether a file exists; nginx looks at it with every request.

So it needs no reload, and survives restarts of nginx, of o8 and of the machine.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from bot.models import Slot
from bot.nginx import files


class Flags:
    """`<service>.b` exists: slot b serves. `<service>.maintenance` exists: nobody does, visitors get a page."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def serving(self, service: str) -> Slot:
        return "b" if self._flag(service, "b").exists() else "a"

    async def point(self, service: str, slot: Slot) -> None:
        await self._set(self._flag(service, "b"), slot == "b")

    async def maintenance(self, service: str, on: bool) -> None:
        await self._set(self._flag(service, "maintenance"), on)

    async def forget(self, service: str) -> None:
        await self.point(service, "a")
        await self.maintenance(service, False)

    def _flag(self, service: str, kind: str) -> Path:
        files.require_name(service)
        return self.folder / f"{service}.{kind}"

    async def _set(self, flag: Path, on: bool) -> None:
        await asyncio.to_thread(files.touch if on else files.remove, flag)
