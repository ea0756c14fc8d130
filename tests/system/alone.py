"""A service in a house of its own, for tests that kill what others would share."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from lab.house import house
from lab.load import Mix
from lab.private_engine import PrivateEngine
from lab.tenant import Tenant

QUIET: dict[str, Any] = {"follow": {"auto_deploy": "off"}, "drain_timeout": 4}  # only what a test asks for, and soon
VISITORS = Mix(get=2, post=1, slow=1, fresh=1, websocket=1)


@asynccontextmanager
async def a_tenant(private: PrivateEngine | None = None) -> AsyncIterator[Tenant]:
    """Its o8 is not started yet."""
    async with house(private) as home:
        yield Tenant(home, f"k{secrets.token_hex(4)}")


async def release(tenant: Tenant, *tags: str) -> None:
    """Each tag in turn becomes the release that serves, and its deployment ends."""
    for tag in tags:
        await tenant.make(tag)
        found = await tenant.serves((await tenant.house.deploy(tenant.name, tag))["id"])
        await tenant.house.ended(found["id"])


async def serves(tenant: Tenant, tag: str, within_s: float = 15) -> None:
    """Visitors get `tag`, at the latest after `within_s` seconds."""

    async def look() -> bool:
        try:
            return await tenant.version() == tag
        except (aiohttp.ClientError, OSError):  # no nginx
            return False

    await tenant.house.until(look, within_s)
