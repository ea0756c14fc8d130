"""Makes site files live, one change after another; those that wait meanwhile are taken together.

Test a copy, swap, test the whole, reload, ask nginx what it serves. Whatever fails: the files are as before, and
nginx serves what it served.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from bot.errors import ForeignBreakage, NginxError, O8Error
from bot.nginx import program, server, shared, sites
from bot.nginx.files import SHARED, Files, Folder
from bot.nginx.probe import Probe
from bot.nginx.program import Verdict
from bot.nginx.server import Server
from bot.settings import Settings

_log = logging.getLogger(__name__)


class Change(NamedTuple):
    """`text` None: the file goes."""

    name: str
    text: str | None
    done: asyncio.Future[bool]


class DefaultTaken(NginxError):
    """Somebody else answers to unknown names at one of our ports."""


class Publisher:
    def __init__(self, settings: Settings, server: Server, folder: Folder, probe: Probe) -> None:
        self._settings = settings
        self._server = server
        self._folder = folder
        self._probe = probe
        self.reloads = 0  # how often nginx was told to load its files anew
        self._waiting: list[Change] = []
        self._work: asyncio.Task[None] | None = None

    async def publish(self, name: str, text: str | None) -> bool:
        """The file `name` is live with `text`; False when it was already. Raises `NginxError`.

        Goes on when the caller is cancelled: half a change is worse than one nobody waits for.
        """
        change = Change(name, text, asyncio.get_running_loop().create_future())
        change.done.add_done_callback(asyncio.Future.exception)  # seen, though the caller may be gone by then
        self._waiting.append(change)
        if self._work is None or self._work.done():
            self._work = asyncio.create_task(self._work_off(), name="nginx")
        work: asyncio.Future[None] = self._work
        await asyncio.wait({change.done, work}, return_when=asyncio.FIRST_COMPLETED)  # type: ignore[type-var]
        if not change.done.done():
            work.result()  # raises what ended it
        return change.done.result()

    async def refresh(self, *, is_forced: bool) -> None:
        """nginx runs and serves the files as they are, the shared one as this version of o8 writes it."""
        if is_forced or not self._is_shared_current() or not await self._is_current():
            await self.publish(SHARED, None)  # it is written anew with every change

    async def finish(self) -> None:
        """Returns when nothing is being published any more."""
        if self._work is not None:
            await asyncio.wait([self._work])

    # -- batches

    async def _work_off(self) -> None:
        while self._waiting:
            batch: dict[str, Change] = {}
            for change in self._waiting:
                batch.setdefault(change.name, change)  # a second change of the same file waits for its turn
            self._waiting = [change for change in self._waiting if batch[change.name] is not change]
            await self._settle(list(batch.values()))

    async def _settle(self, batch: list[Change]) -> None:
        try:
            reloaded = await self._apply(batch)
        except O8Error as trouble:
            if len(batch) == 1:
                batch[0].done.set_exception(trouble)
                return
            for change in batch:  # one bad site must not hinder the others
                await self._settle([change])
        else:
            for change in batch:
                change.done.set_result(change.name in reloaded)

    async def _apply(self, batch: list[Change]) -> set[str]:
        """Names of the files for whose sake nginx was reloaded."""
        await asyncio.to_thread(self._server.tidy)
        changed = {change.name: change.text for change in batch if self._folder.read(change.name) != change.text}
        if not changed and await self._is_current():
            return set()
        await self._go_live(changed)
        return set(changed) or {change.name for change in batch}

    async def _is_current(self) -> bool:
        """Whether nginx serves the files as they are; not so after a kill between swap and reload."""
        served = await self._probe.ask()
        return served is not None and served.generation == shared.generation_in(self._folder.read(SHARED))

    def _is_shared_current(self) -> bool:
        text, files = self._folder.read(SHARED), self._sites()
        return any(shared.is_same(text, self._shared_text(0, files, has_default)) for has_default in (True, False))

    # -- one batch

    async def _go_live(self, changed: Files) -> None:
        try:
            await self._attempt(changed, has_default=True)
        except DefaultTaken:
            await self._attempt(changed, has_default=False)

    async def _attempt(self, changed: Files, *, has_default: bool) -> None:
        after = {name: text for name, text in {**self._sites(), **changed}.items() if text is not None}
        generation = max(time.time_ns() // 1_000_000, shared.generation_in(self._folder.read(SHARED)) + 1)
        text = self._shared_text(generation, after, has_default)
        changed = {**changed, SHARED: text}
        verdict = await server.rehearse(self._binary, after | {SHARED: text}, self._server.sites)
        self._require_good(verdict, changed)
        await self._swap(changed, generation)

    async def _swap(self, changed: Files, generation: int) -> None:
        before = await asyncio.to_thread(self._folder.swap, changed)
        try:
            self._require_good(await self._server.test(), changed)
        except NginxError as trouble:
            await asyncio.to_thread(self._folder.swap, before)
            await self._blame_others(trouble)
            raise
        old_workers = await self._probe.workers()
        try:
            await self._reload()
            await self._probe.confirm(generation, old_workers, self._server.refusal)
        except NginxError:
            await asyncio.to_thread(self._folder.swap, before)
            if before[SHARED] is not None:  # else nothing of ours was ever live
                await self._reload_as_before()
            raise

    async def _reload_as_before(self) -> None:
        with suppress(NginxError):  # the first trouble is the one to tell
            if (await self._server.test()).is_ok:
                await self._reload()
                return
        _log.warning("nginx could not be reloaded with the files as they were; the next change does it")

    async def _reload(self) -> None:
        await self._server.reload()
        self.reloads += 1

    async def _blame_others(self, trouble: NginxError) -> None:
        """Our files are as before. If nginx still refuses, the change was not to blame; raises what is."""
        verdict = await self._server.test()
        if verdict.is_ok or not verdict.file or self._is_ours(Path(verdict.file)):
            return
        raise ForeignBreakage(
            f"nginx refuses {verdict.file}, line {verdict.line}: {verdict.sentence}.",
            "That file is not o8's and was left alone; repair it, then try again.",
        ) from trouble

    def _is_ours(self, file: Path) -> bool:
        return file.parent == self._server.sites and self._folder.read(file.name) is not None

    def _require_good(self, verdict: Verdict, changed: Mapping[str, str | None]) -> None:
        if not verdict.is_ok:
            kind = DefaultTaken if verdict.sentence.startswith("a duplicate default server") else NginxError
            raise kind(f"nginx refuses the configuration: {verdict}.", program.advice(verdict.sentence))
        wanted = frozenset().union(*(sites.names_in(text) for text in changed.values() if text))
        if taken := sorted(verdict.conflicts & wanted):
            raise NginxError(
                f"Another nginx site already answers to {', '.join(taken)}.", "Remove the domain from one of them."
            )

    def _sites(self) -> dict[str, str | None]:
        return {name: text for name, text in self._folder.all().items() if name != SHARED}

    def _shared_text(self, generation: int, files: Files, has_default: bool) -> str:
        version = program.version(self._binary)
        return shared.render(self._settings, self._server.slots, generation, files, version, has_default)

    @property
    def _binary(self) -> str:
        return program.find(self._settings.nginx_binary)
