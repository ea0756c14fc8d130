"""Where visitors go: the site's text, the switch, the drain and the ways back. Speaks to nginx, in addresses only."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

from bot.drain import open_connections
from bot.errors import NginxError
from bot.models import AFTER_SWITCH, Address, Deployment, Slot, State, other
from bot.nginx import Nginx
from bot.run import Run

SHORTEST_DRAIN_S = 3.0  # idle connections of nginx to the old release live 2 s
_MAY_HAVE_PUBLISHED = AFTER_SWITCH | {State.SWITCHING}
_log = logging.getLogger(__name__)

Addresses = Callable[[int, Slot, int, int], tuple[Address, ...]]


class Traffic:
    def __init__(self, nginx: Nginx, addresses: Addresses) -> None:
        """`addresses`: the engine's promise of where a slot answers."""
        self._nginx = nginx
        self._addresses = addresses

    def serving(self, service: str) -> Slot:
        return self._nginx.serving(service)

    def site(self, block: int, deployment: Deployment, slot: Slot, neighbour: Deployment | None) -> str:
        """The site text while `deployment` is in `slot` and `neighbour`, if any, in the other one."""
        there = neighbour or deployment
        return self._nginx.render(
            deployment.configuration,
            {slot: self.addresses(block, deployment, slot), other(slot): self.addresses(block, there, other(slot))},
        )

    def addresses(self, block: int, deployment: Deployment, slot: Slot) -> tuple[Address, ...]:
        configuration = deployment.configuration
        return self._addresses(block, slot, configuration.replicas, configuration.port)

    async def close(self, run: Run) -> None:
        """Visitors get the maintenance page."""
        await self._nginx.maintenance(run.name, True)

    async def open(self, run: Run) -> None:
        """Visitors get the release that the flag names."""
        await self._nginx.maintenance(run.name, False)

    async def switch(self, run: Run) -> dict[str, Any]:
        """nginx sends every new request to the candidate. Raises `NginxError`; then the old slot still serves.

        Safe to repeat, also after a kill: the flag of a first deployment can be set before its site is there.
        """
        text = self.site(run.service.block, run.deployment, run.here, run.live)
        run.site_before = self._nginx.site(run.name)
        if run.site_before is None:  # a new site must not send its first visitors to the slot where nothing is
            await self._nginx.point(run.name, run.here)
        has_reloaded = await self._nginx.publish(run.name, text)
        await self._nginx.point(run.name, run.here)
        await self.open(run)
        return {"has_reloaded": has_reloaded}

    async def drain(self, run: Run) -> dict[str, Any]:
        """Nothing is open to the old slot any more, or `drain_timeout` is over. Never fails."""
        if run.live is None or run.deployment.configuration.strategy == "recreate":
            return {}
        old = self.addresses(run.service.block, run.live, other(run.here))
        began, limit = time.monotonic(), run.deployment.configuration.drain_timeout
        while True:
            elapsed, left = time.monotonic() - began, await open_connections(old)
            if (left == 0 and elapsed >= SHORTEST_DRAIN_S) or elapsed >= limit:
                return {"connections_left": left}
            await asyncio.sleep(0.1)

    async def keep(self, run: Run) -> None:
        """The candidate is given up: flag and site are as before it, whatever it had changed already."""
        if run.slot is not None and self.serving(run.name) == run.slot:
            await self._nginx.point(run.name, other(run.slot))
        await self._restore_site(run)

    async def give_back(self, run: Run) -> None:
        """The release before serves again, with its site."""
        await self._nginx.point(run.name, other(run.here))
        await self._restore_site(run)

    async def _restore_site(self, run: Run) -> None:
        """A broken file of somebody else hinders this, but not the ending: the next check writes the site again."""
        if run.live is None:
            await self._nginx.withdraw(run.name)
            return
        before = run.site_before
        if before is None and run.deployment.state in _MAY_HAVE_PUBLISHED:  # after a kill
            before = self.site(run.service.block, run.live, other(run.here), run.deployment)
        if before in (self._nginx.site(run.name), None):
            return
        try:
            await self._nginx.publish(run.name, before)
        except NginxError as trouble:
            _log.warning("%s: the site text is put back with the next check: %s", run.name, trouble)
