"""nginx in front of the services: their sites, and the switch between two slots without a reload.

    sites.py       pure: configuration -> what the template needs      templates.py   fill, and prove by parsing
    shared.py      what all sites share, and its generation            files.py       whole files or none
    publisher.py   test, swap, reload, confirm, put back               flags.py       the switch
    server.py      how nginx is run: system.py, embedded.py            probe.py       what nginx really serves
    program.py     commands with a limit, and nginx's sentences        workers.py     nginx's processes

To add a way of running nginx: the verbs of `server.Server`, one line in `_choose`.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from bot.configuration import Configuration
from bot.errors import NginxError
from bot.models import Address, Slot
from bot.nginx import files, program, sites, templates
from bot.nginx.embedded import Embedded
from bot.nginx.files import SHARED, Folder
from bot.nginx.flags import Flags
from bot.nginx.probe import Probe
from bot.nginx.publisher import Publisher
from bot.nginx.server import Mode, Server
from bot.nginx.system import System
from bot.settings import Settings

__all__ = ["Nginx", "NginxFacts"]

_SHUTDOWN_TIMEOUT = re.compile(r"^\s*worker_shutdown_timeout\s+(\S+);", re.MULTILINE)


class NginxFacts(NamedTuple):
    """For `o8 doctor`."""

    mode: Mode
    version: str
    is_running: bool
    test_output: str  # "ok", or nginx's own sentence with the place
    is_included: bool  # nginx.conf includes our folder
    can_stat_slots: bool  # nginx's workers see the flags
    worker_shutdown_timeout: str  # as written; empty when it is not set
    generation: int | None  # what nginx serves; None when it serves nothing of ours


class Nginx:
    """Call `start` once before anything but `render`. Where nothing else is said, what fails raises `NginxError`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._server = _choose(settings)
        self._folder = Folder(self._server.sites)
        self._flags = Flags(self._server.slots)
        self._probe = Probe(settings.nginx_listen or "127.0.0.1", settings.nginx_http_port)
        self._publisher = Publisher(settings, self._server, self._folder, self._probe)

    @property
    def mode(self) -> Mode:
        return self._server.mode

    @property
    def acme_folder(self) -> Path:
        """What a certificate authority asks for is put here, and shown by the sites that want certificates."""
        return self._server.slots.parent / "acme"

    @property
    def reloads(self) -> int:
        """How often nginx was told to load its files anew, since o8 started."""
        return self._publisher.reloads

    async def start(self) -> None:
        """nginx serves what our files say. Embedded: the running one is adopted, or a new one started."""
        is_forced = await self._server.prepare()
        await asyncio.to_thread(self._folder.prepare)
        await asyncio.to_thread(files.make_folder, self.acme_folder)
        await self._publisher.refresh(is_forced=is_forced)

    async def revive(self) -> bool:
        """Embedded: an nginx that has died is started again; True when it had. A system's nginx has systemd."""
        if self._server.is_running():
            return False
        await self._publisher.refresh(is_forced=True)
        return True

    def render(self, configuration: Configuration, addresses: Mapping[Slot, Sequence[Address]]) -> str:
        """Text of a service's site. A value that nginx would take for more than a value is refused."""
        version = program.version(program.find(self._settings.nginx_binary))
        folders = sites.Folders(self._server.slots, self.acme_folder)
        value = sites.site_value(configuration, addresses, self._settings, folders, version)
        return templates.render("site.conf.j2", value)

    async def publish(self, service: str, text: str) -> bool:
        """Makes a site live; False when it was already with this text, so that nothing was reloaded.

        Raises `ForeignBreakage` when somebody else's file is broken, `NotLive` when nginx goes on with the old text.
        The site is then as before.
        """
        return await self._publisher.publish(files.site_file(service), text)

    async def withdraw(self, service: str) -> None:
        """Removes a site and its flags; nothing to do when there is none."""
        await self._publisher.publish(files.site_file(service), None)
        await self._flags.forget(service)

    def site(self, service: str) -> str | None:
        """The site's text on disk."""
        return self._folder.read(files.site_file(service))

    def sites(self) -> frozenset[str]:
        """Services that have a site file of ours."""
        return frozenset(name.removesuffix(".conf") for name in self._folder.all() if name != SHARED)

    def serving(self, service: str) -> Slot:
        """The slot that the flag names; `a` when nothing was ever switched."""
        return self._flags.serving(service)

    async def point(self, service: str, slot: Slot) -> None:
        """The switch: the next request goes to `slot`, without a reload."""
        await self._flags.point(service, slot)

    async def maintenance(self, service: str, on: bool) -> None:
        """Visitors get 503 with a small page, or the service again."""
        await self._flags.maintenance(service, on)

    async def is_answering(self) -> bool:
        """Whether anything answers where the sites are. One request: it may be asked often."""
        return await self._probe.is_answering()

    async def facts(self) -> NginxFacts:
        """What is, not what should be; raises nothing when nginx is missing or down."""
        served = await self._probe.ask()
        dump = await self._dump()
        timeout = _SHUTDOWN_TIMEOUT.search(dump)
        return NginxFacts(
            mode=self.mode,
            version=self._version(),
            is_running=served is not None or await self.is_answering(),
            test_output=await self._test_output(),
            is_included=served is not None or f"# configuration file {self._server.sites / SHARED}:" in dump,
            can_stat_slots=served is not None and served.can_stat_slots,
            worker_shutdown_timeout=timeout[1] if timeout else "",
            generation=served.generation if served else None,
        )

    async def finish(self) -> None:
        """Returns when no change is under way any more: one that was begun is not left half done."""
        await self._publisher.finish()

    async def shut_down(self) -> None:
        """Embedded: ends nginx. A normal stop of o8 leaves it running."""
        await self._publisher.finish()
        await self._server.shut_down()

    async def _test_output(self) -> str:
        try:
            verdict = await self._server.test()
        except NginxError as trouble:
            return str(trouble)
        return "ok" if verdict.is_ok else str(verdict)

    async def _dump(self) -> str:
        try:
            return await self._server.dump()
        except NginxError:
            return ""  # `test_output` tells it

    def _version(self) -> str:
        try:
            return ".".join(map(str, program.version(program.find(self._settings.nginx_binary))))
        except NginxError:
            return ""


def _choose(settings: Settings) -> Server:
    folder = settings.nginx_managed_dir
    is_set_up = folder.is_dir() and os.access(folder, os.W_OK)
    if settings.nginx_mode == "system" or (settings.nginx_mode == "auto" and is_set_up):
        return System(settings)
    return Embedded(settings)
