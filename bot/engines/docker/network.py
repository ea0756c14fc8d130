"""o8's own bridge network: made when first needed, refused when it is not as planned."""

from __future__ import annotations

import asyncio
from ipaddress import IPv4Network
from typing import Any

from bot.addresses import automatic_range
from bot.engines.docker.allow import INSTALLATION
from bot.engines.docker.connection import Connection, Refused
from bot.errors import EngineError


class Network:
    """The network `name` with fixed addresses out of `subnet`. Containers on it reach each other."""

    def __init__(self, docker: Connection, name: str, subnet: IPv4Network, installation: str) -> None:
        self.name = name
        self.subnet = subnet
        self._docker = docker
        self._installation = installation
        self._making = asyncio.Lock()

    async def ensure(self) -> None:
        """Makes the network unless it is there. Raises `EngineError` when it is there with another plan."""
        async with self._making:
            found = await self._find() or await self._make()
        self._check(found)

    async def _find(self) -> dict[str, Any] | None:
        try:
            return await self._docker.call(
                f"look at the network {self.name}", lambda client: client.inspect_network(self.name)
            )
        except Refused as error:
            if error.status == 404:
                return None
            raise

    async def _make(self) -> dict[str, Any]:
        try:
            await self._docker.call(
                f"make the network {self.name}",
                lambda client: client.create_network(
                    self.name,
                    driver="bridge",
                    ipam={"Driver": "default", "Config": [self._plan()]},  # type: ignore[arg-type]
                    labels={INSTALLATION: self._installation},
                    check_duplicate=True,
                ),
            )
        except Refused as error:
            if error.status != 409:  # 409: another program made it just now
                raise EngineError(
                    error.message,
                    f"Set O8_SUBNET to a private network that is free here; {self.subnet} is not.",
                ) from error
        return await self._find() or {}

    def _plan(self) -> dict[str, str]:
        return {
            "Subnet": str(self.subnet),
            "IPRange": str(automatic_range(self.subnet)),
            "Gateway": str(self.subnet[1]),
        }

    def _check(self, found: dict[str, Any]) -> None:
        plans = (found.get("IPAM") or {}).get("Config") or [{}]
        if found.get("Driver") == "bridge" and {key: plans[0].get(key) for key in self._plan()} == self._plan():
            return
        there = plans[0].get("Subnet", "no subnet")
        raise EngineError(
            f"The Docker network {self.name} ({there}) was not made for the subnet {self.subnet}.",
            f"Set O8_NETWORK to another name, or remove it: `docker network rm {self.name}`.",
        )
