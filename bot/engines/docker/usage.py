"""What Docker's statistics of a container mean. Pure."""

from __future__ import annotations

from typing import Any

from bot.engines import Usage


def read(stats: dict[str, Any]) -> Usage | None:
    """None for a container that does not run, or where Docker cannot read its control groups.

    Files in the cache are no use of memory, as `docker stats` sees it.
    https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Container/operation/ContainerStats
    """
    memory, cpu = stats.get("memory_stats") or {}, (stats.get("cpu_stats") or {}).get("cpu_usage") or {}
    if "usage" not in memory and not cpu.get("total_usage"):
        return None
    details = memory.get("stats") or {}
    cached = details.get("total_inactive_file", details.get("inactive_file", 0))  # cgroup v1, v2
    return Usage(
        cpu_seconds=cpu.get("total_usage", 0) / 1e9,
        memory_bytes=max(memory.get("usage", 0) - cached, 0),
        memory_limit=memory.get("limit", 0),
    )
