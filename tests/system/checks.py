"""What each fault must leave behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from lab.load import Report
from lab.tenant import Tenant
from lab.waiting import until

VISITS = 20  # that follow a fault, however short it was
GOOD = "0099"  # newer than whatever a test pushes


@asynccontextmanager
async def unharmed(
    tenant: Tenant, release: str = "0001", *, good: bool = True, reloads: bool = False
) -> AsyncIterator[None]:
    """Visitors notice nothing of the block and get `release` throughout, nothing is left of a candidate; `good`:
    afterwards a good release takes over, so that what failed was not the way there.

    `reloads`: nginx is reloaded meanwhile, for which less is promised.
    """
    slot = await tenant.slot()
    async with tenant.visitors() as report:
        yield
        seen = report.requests
        await until(lambda: asyncio.sleep(0, report.requests > seen + VISITS))
    assert_nothing_lost(report, reloads=reloads)
    assert set(report.versions) == {release}, str(report)
    assert {c.slot for c in await tenant.containers()} == {slot}
    if good:
        await tenant.release(GOOD)
        assert await tenant.version() == GOOD


def assert_nothing_lost(report: Report, *, reloads: bool = False) -> None:
    """No visitor noticed anything. A reload closes idle connections, some of them under a request on its way; but
    nobody gets a 5xx, and new connections always get their answer.
    """
    if not reloads:
        assert report.failed == 0, str(report)
    assert all(failure.kind != "fresh" for failure in report.failures), str(report)
    assert {failure.reason for failure in report.failures} <= {"connection reset", "closed without an answer"}


def assert_failed(deployment: dict[str, Any], code: str, cause: str, next_step: str = "o8 deployments") -> None:
    """It ended as `failed`, with a message that names the cause and what to do."""
    assert (deployment["state"], deployment["error_code"]) == ("failed", code), deployment["error"]
    assert cause in deployment["error"]
    assert next_step in deployment["next_step"]
