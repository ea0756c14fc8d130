"""Certificates of services with `tls = "auto"`: asked for when they are missing, renewed a month before they end.

nginx shows what the authority asks for (`/.well-known/acme-challenge/`) while the site serves; a renewed certificate
makes another site text, which goes live like every other, tested and without losing a request.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from bot import pem
from bot.certificates import certbot
from bot.errors import CertificateError
from bot.nginx import Nginx
from bot.nginx.sites import host_names
from bot.pem import Certificate
from bot.settings import Settings
from bot.store import Store

__all__ = ["Certificate", "Certificates", "Standing"]

LOOK_S = 3600.0
RENEWED = timedelta(days=30)  # before the end: https://letsencrypt.org/docs/integration-guide/
URGENT = timedelta(days=14)
FIRST_PAUSE_S, LONGEST_PAUSE_S = 900.0, 86400.0  # the authority takes five failures an hour
_log = logging.getLogger(__name__)


class Standing(NamedTuple):
    """How it is with one service's certificate. `trouble`: why there is no (new) one; empty when all is well."""

    service: str
    certificate: Certificate | None
    trouble: str


class Certificates:
    def __init__(self, settings: Settings, store: Store, nginx: Nginx, notice: Callable[[], None]) -> None:
        """`notice`: a certificate has come, so that a site has another text."""
        self._settings = settings
        self._store = store
        self._nginx = nginx
        self._notice = notice
        self._troubles: dict[str, tuple[str, float, float]] = {}  # sentence, pause, when it may be tried again

    async def run(self) -> None:
        """Endless. A service that begins to want a certificate is noticed at the next commit."""
        while True:
            seen = await self._store.committed()
            await self.look()
            end = asyncio.get_running_loop().time() + LOOK_S
            wanted = await self._wanted()
            while asyncio.get_running_loop().time() < end and await self._wanted() == wanted:
                with suppress(TimeoutError):
                    async with asyncio.timeout(60):
                        seen = await self._store.committed(seen)

    async def look(self) -> None:
        """Gets what is missing or about to end, one after the other."""
        for service, names in (await self._wanted()).items():
            if self._is_due(service, names):
                await self._get(service, names)

    async def standings(self) -> tuple[Standing, ...]:
        """Of every service with `tls = "auto"`."""
        return tuple(self._standing(service) for service in await self._wanted())

    async def _wanted(self) -> dict[str, tuple[str, ...]]:
        """Names by service, of those that serve: before, nobody could answer the authority."""
        found = {}
        for service in await self._store.services():
            if service.live is None or service.configuration.site.tls != "auto":
                continue
            if names := host_names(service.configuration, self._settings):
                found[service.name] = tuple(names)
        return found

    def _is_due(self, service: str, names: tuple[str, ...]) -> bool:
        _, _, not_before = self._troubles.get(service, ("", 0.0, 0.0))
        if time.monotonic() < not_before:
            return False
        try:
            found = pem.read(self._settings.certificates_dir, service)
        except CertificateError:
            return True
        if found is None or found.names != frozenset(names):
            return True
        return found.ends - datetime.now(UTC) < min(RENEWED, (found.ends - found.begins) / 3)

    async def _get(self, service: str, names: tuple[str, ...]) -> None:
        try:
            await certbot.issue(self._settings, service, names, self._nginx.acme_folder)
        except CertificateError as trouble:
            _log.warning("%s: %s", service, trouble)
            pause = min(self._troubles.get(service, ("", FIRST_PAUSE_S / 2, 0.0))[1] * 2, LONGEST_PAUSE_S)
            self._troubles[service] = (str(trouble), pause, time.monotonic() + pause)
            return
        self._troubles.pop(service, None)
        _log.info("%s has a certificate for %s", service, ", ".join(names))
        self._notice()

    def _standing(self, service: str) -> Standing:
        trouble = self._troubles.get(service, ("", 0.0, 0.0))[0]
        try:
            return Standing(service, pem.read(self._settings.certificates_dir, service), trouble)
        except CertificateError as broken:
            return Standing(service, None, str(broken))
