"""What Docker's statistics mean, on the control groups of old and new kernels, and when there are none."""

from __future__ import annotations

from typing import Any

import pytest

from bot.engines import Usage
from bot.engines.docker import usage

CPU = {"cpu_usage": {"total_usage": 2_500_000_000}, "system_cpu_usage": 10**15, "online_cpus": 2}
# As Docker 20.10 answers for a container that does not run, or where it cannot read the control groups.
NOTHING: dict[str, Any] = {
    "read": "0001-01-01T00:00:00Z", "pids_stats": {}, "memory_stats": {},
    "cpu_stats": {"cpu_usage": {"total_usage": 0, "usage_in_kernelmode": 0}, "throttling_data": {}},
}  # fmt: skip


@pytest.mark.parametrize(
    ("memory", "expected"),
    [
        ({"usage": 900, "limit": 5000, "stats": {"inactive_file": 400, "cache": 600}}, (500, 5000)),  # cgroup v2
        ({"usage": 900, "limit": 5000, "stats": {"total_inactive_file": 300, "inactive_file": 1}}, (600, 5000)),  # v1
        ({"usage": 900, "limit": 5000}, (900, 5000)),
        ({"usage": 900, "limit": 5000, "stats": {"inactive_file": 5000}}, (0, 5000)),
        ({"usage": 900}, (900, 0)),
        ({"usage": 0, "limit": 5000}, (0, 5000)),
        ({}, (0, 0)),  # memory is not counted by this kernel, as on a Raspberry Pi; processors are
    ],
)
def test_statistics_of_a_container_that_runs(memory: dict[str, Any], expected: tuple[int, int]) -> None:
    assert usage.read({"memory_stats": memory, "cpu_stats": CPU}) == Usage(2.5, *expected)


@pytest.mark.parametrize("stats", [NOTHING, {}, {"memory_stats": None, "cpu_stats": None}])
def test_no_statistics_are_no_use_of_nothing(stats: dict[str, Any]) -> None:
    assert usage.read(stats) is None
