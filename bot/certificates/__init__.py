"""Certificates of services with `tls = "auto"`: asked for when they are missing, renewed a month before they end.

    certbot.py     how one is had                   standings.py   how it is with everybody's
    alarms.py      what the channel is told

nginx shows what the authority asks for (`/.well-known/acme-challenge/`) while the site serves; a renewed certificate
makes another site text, which goes live like every other, tested and put back when nginx refuses it. Until there is
one, and for names that it does not cover, the site serves by HTTP.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from bot import pem
from bot.certificates import alarms, certbot
from bot.certificates.standings import Standings
from bot.errors import CertificateError
from bot.nginx import Nginx
from bot.nginx.sites import host_names
from bot.pem import Certificate
from bot.settings import Settings
from bot.store import Store
from bot.store.certificates import Failure

__all__ = ["Certificates", "Standings"]

LONGEST_LOOK, SHORTEST_LOOK = timedelta(minutes=1), timedelta(seconds=2)  # between two looks at the files
SETTLING_S = 1.0  # commits come in bursts
RENEWED = timedelta(days=30)  # before the end: https://letsencrypt.org/docs/integration-guide/
# After one try in vain, doubled with each: https://letsencrypt.org/docs/rate-limits/ allows five an hour.
FIRST_PAUSE, LONGEST_PAUSE = timedelta(minutes=15), timedelta(hours=4)
PAUSE = timedelta(minutes=1)  # when it was not even asked: certbot is missing, or a setting
Wanted = dict[str, tuple[str, ...]]  # names by service
_log = logging.getLogger(__name__)


class Certificates:
    def __init__(self, settings: Settings, store: Store, nginx: Nginx, notice: Callable[[], None]) -> None:
        """`notice`: a certificate has come, so that a site has another text."""
        self._settings = settings
        self._store = store
        self._nginx = nginx
        self._notice = notice
        self._standings = Standings(settings, store)
        self._asked: dict[str, datetime] = {}  # what came of it is not written down

    async def run(self) -> None:
        """Endless. A service that begins to want a certificate is noticed at the next commit."""
        for service, failure in (await self._store.certificate_failures()).items():
            if not failure.tries:  # a setting was missing, or certbot: it may be there by now
                await self._store.forget_certificate_failure(service)
        while True:
            seen = await self._store.committed()
            await self.look()
            await self._rest(await self._asked_for(), seen, await self._until_next())

    async def look(self) -> None:
        """Gets what is missing or about to end, one after the other; then the channel is told what is amiss."""
        wanted, failures = await self._wanted(), await self._store.certificate_failures()
        for service, failure in failures.items():
            names = wanted.get(service, ())
            is_other = failure.names != frozenset(names)  # something else is wanted by now
            if is_other or _needed_from(names, self._found(service)) > datetime.now(UTC):
                await self._store.forget_certificate_failure(service)
        for service, names in wanted.items():
            found = self._found(service)
            if _when(names, found, failures.get(service)) <= datetime.now(UTC) and not self._was_just_asked(service):
                await self._get(service, names, found)
        await alarms.tell(self._store, await self._standings.all())

    def _was_just_asked(self, service: str) -> bool:
        """With a database that cannot be written to, the authority would be asked every few seconds."""
        return datetime.now(UTC) < self._asked.get(service, datetime.min.replace(tzinfo=UTC)) + FIRST_PAUSE

    async def _wanted(self) -> Wanted:
        """Of those that serve: before, nobody could answer the authority."""
        return {
            each.name: certbot.needed(host_names(each, self._settings))
            for each in await self._standings.secured()
            if each.site.tls == "auto"
        }

    def _found(self, service: str) -> Certificate | None:
        try:
            return pem.read(self._settings.certificates_dir, service)
        except CertificateError:
            return None

    async def _get(self, service: str, names: tuple[str, ...], found: Certificate | None) -> None:
        self._asked[service] = datetime.now(UTC)
        try:
            await self._issue(service, names)
        except CertificateError as trouble:
            _log.warning("%s: %s", service, trouble)
            await self._store.certificate_failed(service, frozenset(names), str(trouble), is_refusal=trouble.is_refusal)
            await self._get_without(trouble.names, service, names, found)
        else:
            await self._store.forget_certificate_failure(service)
        del self._asked[service]

    async def _get_without(
        self, bad: frozenset[str], service: str, names: tuple[str, ...], found: Certificate | None
    ) -> None:
        """One name whose DNS is wrong must not keep the others from HTTPS, nor let their certificate end."""
        good = tuple(name for name in names if name not in bad)
        is_late = found is not None and found.urgent_from <= datetime.now(UTC)
        if good and good != names and (is_late or _lacks(found, good)):
            try:
                await self._issue(service, good)
            except CertificateError as trouble:
                _log.warning("%s: %s", service, trouble)

    async def _issue(self, service: str, names: tuple[str, ...]) -> None:
        await certbot.issue(self._settings, service, names, self._nginx.acme_folder)
        found = self._found(service)
        if _when(names, found, None) <= datetime.now(UTC):  # else it would be asked for again and again
            raise CertificateError(
                f"certbot has ended well, but there is no good certificate for {', '.join(names)}.",
                f"Is the clock right? `certbot certificates --config-dir {self._settings.certificates_dir}` shows it.",
                is_refusal=True,
            )
        _log.info("%s has a certificate for %s", service, ", ".join(names))
        self._notice()

    async def _until_next(self) -> timedelta:
        """Until something is due, in bounds."""
        failures = await self._store.certificate_failures()
        times = [
            _when(names, self._found(service), failures.get(service)) - datetime.now(UTC)
            for service, names in (await self._wanted()).items()
        ]
        return max(min([*times, LONGEST_LOOK]), SHORTEST_LOOK)

    async def _asked_for(self) -> tuple[Wanted, set[str]]:
        """What is wanted, and which failures are not forgotten."""
        return await self._wanted(), set(await self._store.certificate_failures())

    async def _rest(self, before: tuple[Wanted, set[str]], seen: int, longest: timedelta) -> None:
        """Returns when something else is asked for, or after `longest`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(longest.total_seconds()):
                while await self._asked_for() == before:
                    await asyncio.sleep(SETTLING_S)
                    seen = await self._store.committed(seen)


def _when(names: Sequence[str], found: Certificate | None, failure: Failure | None) -> datetime:
    """When the authority is to be asked (again)."""
    needed = _needed_from(names, found)
    if failure is None or failure.names != frozenset(names):
        return needed
    pause: timedelta = FIRST_PAUSE * 2 ** min(failure.tries - 1, 16) if failure.tries else PAUSE
    return max(needed, failure.failed_at + min(pause, LONGEST_PAUSE))


def _needed_from(names: Sequence[str], found: Certificate | None) -> datetime:
    if found is None or _lacks(found, names):
        return datetime.min.replace(tzinfo=UTC)
    return found.ends - min(RENEWED, (found.ends - found.begins) / 3)


def _lacks(found: Certificate | None, names: Sequence[str]) -> bool:
    return found is None or not all(map(found.covers, names))
