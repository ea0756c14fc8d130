"""Asks one address whether it may serve. The user gives a path, never a host; no redirect is followed."""

from __future__ import annotations

import asyncio

import aiohttp

from bot.configuration import Health
from bot.models import Address

PROBE_TIMEOUT_S = 3.0
_BODY_LIMIT = 64 * 1024


class Prober:
    """Probes over HTTP and TCP. Addresses only: it does not know what answers there."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def probe(self, address: Address, health: Health, host: str) -> str:
        """Why `address` may not serve yet, as a sentence; empty when it may. `host` goes into the Host header."""
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                if health.kind == "http":
                    return await self._ask(address, health, host)
                _, writer = await asyncio.open_connection(*address)
                writer.close()
                return ""
        except TimeoutError:
            return f"port {address.port} gave no answer within {PROBE_TIMEOUT_S:.0f} s"
        except (OSError, aiohttp.ClientError) as error:
            cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
            if isinstance(cause, ConnectionRefusedError):
                return f"nothing listens on port {address.port}"
            return f"port {address.port} does not speak HTTP: {type(cause).__name__}"

    async def _ask(self, address: Address, health: Health, host: str) -> str:
        url = f"http://{address}{health.path}"
        headers = {"Host": host or str(address), "User-Agent": "o8-health", "Connection": "close"}
        async with self._session.get(url, headers=headers, allow_redirects=False) as answer:
            await answer.content.read(_BODY_LIMIT)
            low, _, high = health.expect.partition("-")
            if int(low) <= answer.status <= int(high or low):
                return ""
            return f"GET {health.path} answered {answer.status}, expected {health.expect}"
