"""Looks how full the disks are, has the channel told at 80 and 95 per cent, and removes spare images once a day."""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from pathlib import Path
from typing import NamedTuple

from bot.chat import DiskAlarm
from bot.engines import Engine
from bot.errors import EngineError, O8Error
from bot.findings import LITTLE_ROOM, NO_ROOM
from bot.pruning import Pruner
from bot.store import Store

LOOK_S, PRUNE_S = 300.0, 86400.0
LEVELS = {80: LITTLE_ROOM, 95: NO_ROOM}  # per cent that are used -> part that is free
BETTER = 0.02  # so much more has to be free before an alarm is over: not on and off at the edge
_log = logging.getLogger(__name__)


class Disk(NamedTuple):
    """Bytes. `folder` is what of o8's or Docker's is on it."""

    folder: str
    free: int
    total: int

    @property
    def part_free(self) -> float:
        return self.free / self.total


class Disks:
    def __init__(self, store: Store, engine: Engine, pruner: Pruner, data_dir: Path) -> None:
        """`data_dir`: where o8's own data is."""
        self._store = store
        self._engine = engine
        self._pruner = pruner
        self._data_dir = data_dir
        self._pruned_at: float | None = None

    async def run(self) -> None:
        """Endless."""
        while True:
            try:
                await self.look()
            except O8Error as trouble:
                _log.warning("How full the disks are is not known at the moment: %s", trouble)
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Removes spare images when it is time, or when there is no room; then says how full the disks are."""
        own = await self._own()
        try:
            if self._pruned_at is None or time.monotonic() - self._pruned_at > PRUNE_S:
                await self._pruner.record(await self._pruner.prune(), "o8")
                self._pruned_at = time.monotonic()
            if any(disk.part_free <= NO_ROOM for disk in await self._disks(own)):
                await self._pruner.make_room()
            disks = {disk.folder: disk for disk in await self._disks(await self._own())}
        except EngineError:  # a full disk may be why Docker does not answer
            await self._tell(own)
            raise
        for disk in disks.values():
            await self._tell(disk)
        for alarm in await self._store.open_alarms():
            if alarm.folder not in disks:  # Docker's data was moved
                await self._store.end_alarm(alarm.id, alarm.free, alarm.total)

    async def _own(self) -> Disk:
        usage = await asyncio.to_thread(shutil.disk_usage, self._data_dir)
        return Disk(str(self._data_dir), usage.free, usage.total)

    async def _disks(self, own: Disk) -> list[Disk]:
        """Docker's, where it can be seen from here, and o8's own when that is another one."""
        facts = await self._engine.facts()
        docker = Disk(facts.data_root, facts.storage_bytes_free, facts.storage_bytes_total)
        if not docker.total:
            return [own]
        is_same = await asyncio.to_thread(_is_same, Path(docker.folder), self._data_dir)
        return [docker] if is_same or not own.total else [docker, own]

    async def _tell(self, disk: Disk) -> None:
        known = {alarm.level: alarm for alarm in await self._store.open_alarms() if alarm.folder == disk.folder}
        highest = max((level for level, free in LEVELS.items() if disk.part_free <= free), default=None)
        if highest is not None and highest > max(known, default=0):
            await self._store.raise_alarm(disk.folder, highest, disk.free, disk.total)
        for alarm in known.values():
            if _is_over(alarm, disk):
                await self._store.end_alarm(alarm.id, disk.free, disk.total)


def _is_over(alarm: DiskAlarm, disk: Disk) -> bool:
    return disk.part_free > LEVELS[alarm.level] + BETTER


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.stat().st_dev == other.stat().st_dev
    except OSError:
        return False
