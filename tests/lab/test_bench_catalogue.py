"""What `make bench-catalogue` measures, small."""

from __future__ import annotations

import pytest

from lab import bench_catalogue

pytestmark = pytest.mark.slow


def test_a_small_run_counts_every_look_and_can_fail() -> None:
    found = bench_catalogue.measure(6, 3, little=5, requests=3)
    assert found["first"]["counted"] == 1 + 1 + 6
    assert found["unchanged"]["counted"] == 0
    assert found["a push"]["counted"] == 2
    limited = found["limited"]
    assert (limited["before"], limited["listed before"], limited["listed after"]) == (5, 3, 6)
    assert limited["wait"] > 800
    assert "; met" in bench_catalogue.table(found)
    for look, name, worse in (("unchanged", "counted", 1), ("first", "counted", 5001), ("limited", "listed after", 5)):
        spoilt = found | {look: found[look] | {name: worse}}
        assert "NOT met" in bench_catalogue.table(spoilt)
