"""A new key for the environment values: every one is sealed anew, and nothing is unreadable if o8 is killed meanwhile.

The new key is on disk, in front of the old one, before anything is sealed with it; the old one leaves `secret.key` only
after the last value was sealed anew. A rotation that was cut off is finished by asking for one again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from bot import vault as keys
from bot.errors import Conflict
from bot.settings import Settings
from bot.store import Store
from bot.vault import Vault
from bot.worker import environment_row

Checkpoint = Callable[[str], None]


class Rotated(NamedTuple):
    """`resealed`: revisions of environments. `is_in_settings`: the old keys are to be removed from O8_SECRET_KEY."""

    resealed: int
    is_in_settings: bool


class Rotation:
    def __init__(
        self, store: Store, vault: Vault, settings: Settings, checkpoint: Checkpoint = lambda moment: None
    ) -> None:
        """`checkpoint` is told each moment that is passed; tests kill o8 there."""
        self._store = store
        self._vault = vault
        self._settings = settings
        self._checkpoint = checkpoint
        self._is_under_way = False

    async def rotate(self) -> Rotated:
        """Raises `Conflict` while another one is under way, or when O8_SECRET_KEY holds no new key; `Sealed`."""
        if self._is_under_way:
            raise Conflict("The key is being replaced already.", "Wait until that is done.")
        self._is_under_way = True
        try:
            if kept := keys.split(self._settings.o8_secret_key.get_secret_value()):
                return await self._with_settings(kept)
            return await self._with_file()
        finally:
            self._is_under_way = False

    async def _with_settings(self, kept: list[str]) -> Rotated:
        """The administrator's file: o8 only seals anew with the first key."""
        if len(kept) == 1:
            raise Conflict(
                "O8_SECRET_KEY is set, and holds one key.",
                "Make it `NEW,OLD` (`openssl rand -hex 32` makes a key), restart o8, then ask again.",
            )
        return Rotated(await self._store.reseal(self._anew), is_in_settings=True)

    async def _with_file(self) -> Rotated:
        folder = self._settings.o8_data_dir
        kept = keys.split(await asyncio.to_thread(keys.key_in, folder))
        if len(kept) == 1:  # else one was cut off, and is finished now
            kept = [keys.new_key(), *kept]
            await asyncio.to_thread(keys.keep, folder, kept)
        self._checkpoint("kept")
        self._vault.adopt(",".join(kept))
        self._checkpoint("adopted")
        resealed = await self._store.reseal(self._anew)
        self._checkpoint("resealed")
        await asyncio.to_thread(keys.retire, folder, kept[1:])
        self._checkpoint("retired")
        await asyncio.to_thread(keys.keep, folder, kept[:1])
        self._checkpoint("done")
        return Rotated(resealed, is_in_settings=False)

    def _anew(self, service: str, revision: int, sealed: bytes) -> bytes:
        if self._vault.is_current(sealed):
            return sealed
        row = environment_row(service, revision)
        return self._vault.seal(self._vault.open(sealed, row), row)
