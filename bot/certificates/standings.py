"""How it is with the certificate of every service that has one or wants one: for doctor, metrics, API and alarms.

What counts is the configuration that serves: a domain that is still being deployed cannot be proven yet.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

from bot import pem
from bot.configuration import Configuration
from bot.errors import CertificateError
from bot.models import Service
from bot.nginx.sites import host_names
from bot.pem import Standing
from bot.settings import Settings
from bot.store import Store
from bot.store.certificates import Failure


class Standings:
    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings = settings
        self._store = store

    async def all(self) -> tuple[Standing, ...]:
        """Of every service that serves by TLS, or will."""
        return await self._of(await self.secured())

    async def of(self, service: Service) -> Standing | None:
        """None when it has nothing to do with TLS, or does not serve yet."""
        live = await self._store.deployment(service.live) if service.live else None
        return next(
            iter(await self._of([live.configuration] if live and self._has_tls(live.configuration) else [])), None
        )

    async def secured(self) -> list[Configuration]:
        """What serves and has TLS, or will have."""
        found = (each.live.configuration for each in await self._store.overview() if each.live)
        return [configuration for configuration in found if self._has_tls(configuration)]

    def _has_tls(self, configuration: Configuration) -> bool:
        return configuration.site.tls != "off" and bool(host_names(configuration, self._settings))

    async def _of(self, served: Iterable[Configuration]) -> tuple[Standing, ...]:
        failures = await self._store.certificate_failures()
        # In a thread: a file is read for each.
        return await asyncio.to_thread(lambda: tuple(_standing(each, self._settings, failures) for each in served))


def _standing(configuration: Configuration, settings: Settings, failures: Mapping[str, Failure]) -> Standing:
    name, source = configuration.name, configuration.site.tls
    failure = failures.get(name) if source == "auto" else None
    trouble, names = failure.trouble if failure else "", tuple(host_names(configuration, settings))
    try:
        return Standing(name, source, names, pem.served(configuration, settings), trouble)
    except CertificateError as error:
        return Standing(name, source, names, None, trouble or error.message)
