"""GitHub's pages show what runs: one deployment there for each of ours, with its states.

As with cards there is no list of events: what GitHub was told last is compared with what is true.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

from bot.errors import GitHubError, GitHubUnavailable
from bot.github import Login
from bot.github.deployments import RemoteDeployments
from bot.store import Store
from bot.store.told import Untold

LOOK_S, PAUSE_S = 60.0, 5.0
_log = logging.getLogger(__name__)


class GitHubNotifier:
    def __init__(
        self, store: Store, remote: RemoteDeployments, login_of: Callable[[str], Login], base_domain: str
    ) -> None:
        """`login_of`: who tells about repositories of an owner."""
        self._store = store
        self._remote = remote
        self._login_of = login_of
        self._base_domain = base_domain
        self._trouble = ""

    def trouble(self) -> str:
        return self._trouble

    async def run(self) -> None:
        """Endless."""
        while True:
            seen = await self._store.committed()
            pause = await self._tell_all()
            if pause:
                await asyncio.sleep(pause)
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._store.committed(seen)

    async def _tell_all(self) -> float:
        """Seconds to wait before the next try; 0 when GitHub knows everything."""
        for untold in await self._store.untold():
            try:
                await self._tell(untold)
                self._trouble = ""
            except GitHubUnavailable as trouble:
                self._trouble = str(trouble)
                return max(trouble.retry_after, PAUSE_S)
            except GitHubError as refusal:  # such as a repository that the App may not touch: nobody waits for that
                _log.warning("GitHub does not take the state of deployment %d: %s", untold.deployment.id, refusal)
                self._trouble = str(refusal)
                await self._store.told(untold.deployment.id, untold.status, refusal=str(refusal))
        return 0.0

    async def _tell(self, untold: Untold) -> None:
        found = untold.deployment
        login = self._login_of(found.repository.partition("/")[0])
        number = untold.number or await self._number(untold, login)
        text = found.error or f"{found.service} {found.release}: {found.state}"
        domain = next(iter(found.configuration.domains), "") or (
            f"{found.service}.{self._base_domain}" if self._base_domain else ""
        )
        scheme = "http" if found.configuration.site.tls == "off" else "https"
        url = f"{scheme}://{domain}/" if domain and "*" not in domain else ""
        await self._remote.say(login, found.repository, number, untold.status, text, url)
        await self._store.told(found.id, untold.status)

    async def _number(self, untold: Untold, login: Login) -> int:
        """Its number at GitHub. What was begun and not answered, as before a kill, is looked for first."""
        found = untold.deployment
        key = (found.repository, found.commit, found.service, found.id)
        number = await self._remote.find(login, *key) if untold.was_begun else 0
        if not number:
            await self._store.begin_telling(found.id)
            text = f"{found.kind} by {found.actor.partition(':')[0]}"
            number = await self._remote.create(login, *key, text)
        await self._store.know_number(found.id, number)
        return number
