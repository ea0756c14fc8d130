"""How it is with the certificate of every service that has one or wants one: for doctor, metrics, API and alarms."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping

from bot import pem
from bot.errors import CertificateError
from bot.models import Service
from bot.nginx.sites import host_names
from bot.pem import Source, Standing
from bot.settings import Settings
from bot.store import Store
from bot.store.certificates import Failure


class Standings:
    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings = settings
        self._store = store

    async def all(self) -> tuple[Standing, ...]:
        """Of every service that serves by TLS, or will."""
        return await self._of(await self._store.services())

    async def of(self, service: Service) -> Standing | None:
        """None when it has nothing to do with TLS, or does not serve yet."""
        return next(iter(await self._of([service])), None)

    async def _of(self, services: Iterable[Service]) -> tuple[Standing, ...]:
        asked = {service.name: service for service in services}
        failures = await self._store.certificate_failures()

        def look() -> tuple[Standing, ...]:  # in a thread: it reads a file for each
            return tuple(
                _standing(asked[name], source, names, self._settings, failures)
                for name, source, names in names_by_service(asked.values(), self._settings)
            )

        return await asyncio.to_thread(look)


def names_by_service(services: Iterable[Service], settings: Settings) -> Iterator[tuple[str, Source, tuple[str, ...]]]:
    """Name, source of the certificate and host names of those that serve and have TLS."""
    for service in services:
        source, names = service.configuration.site.tls, host_names(service.configuration, settings)
        if source != "off" and service.live is not None and names:
            yield service.name, source, tuple(names)


def _standing(
    service: Service, source: Source, names: tuple[str, ...], settings: Settings, failures: Mapping[str, Failure]
) -> Standing:
    failure = failures.get(service.name) if source == "auto" else None
    trouble = failure.trouble if failure else ""
    try:
        return Standing(service.name, source, names, pem.served(service.configuration, settings), trouble)
    except CertificateError as error:
        return Standing(service.name, source, names, None, trouble or error.message)
