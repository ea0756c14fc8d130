"""What each fault must leave behind."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from lab.tenant import Tenant

GOOD = "0099"  # newer than whatever a test pushes


@asynccontextmanager
async def unharmed(tenant: Tenant, release: str = "0001", *, good: bool = True) -> AsyncIterator[None]:
    """Visitors notice nothing of the block and get `release` throughout, nothing is left of a candidate; `good`:
    afterwards a good release takes over, so that what failed was not the way there.
    """
    slot = await tenant.slot()
    async with tenant.visitors() as report:
        yield
    assert report.failed == 0, str(report)
    assert set(report.versions) == {release}, str(report)
    assert {c.slot for c in await tenant.containers()} == {slot}
    if good:
        await tenant.release(GOOD)
        assert await tenant.version() == GOOD


def assert_failed(deployment: dict[str, Any], code: str, cause: str, next_step: str = "o8 deployments") -> None:
    """It ended as `failed`, with a message that names the cause and what to do."""
    assert (deployment["state"], deployment["error_code"]) == ("failed", code), deployment["error"]
    assert cause in deployment["error"]
    assert next_step in deployment["next_step"]
