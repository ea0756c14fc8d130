"""What `make bench-listing` measures, small; and what must not grow with the number of services."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab import bench_listing
from lab.bench_listing import PASSWORD, PATHS, USER
from tests.handlers.visiting import basic, visiting

pytestmark = pytest.mark.slow


async def test_a_small_run_measures_every_list_and_sees_that_nothing_is_asked() -> None:
    result = await bench_listing.measure(3, 4)
    assert [len(row.taken) for row in result.rows] == [4] * (len(PATHS) + 2)
    assert not result.asked
    assert "; met" in bench_listing.table(result)


async def test_a_list_that_asks_docker_is_not_met() -> None:
    result = await bench_listing.measure(1, 1)
    result.asked["observe"] += 1
    assert "NOT met" in bench_listing.table(result) and "1 x observe" in bench_listing.table(result)


@pytest.mark.parametrize("path", PATHS)
async def test_a_list_takes_as_many_queries_for_many_services_as_for_few(tmp_path: Path, path: str) -> None:
    counts, sizes = [], []
    for services in (2, 20):
        async with bench_listing.filled(tmp_path / str(services), services) as house, visiting(house) as visitor:
            asked = bench_listing.counted(house)
            assert (await visitor.ask("GET", f"/..{path}", basic(USER, PASSWORD))).status == 200
            queries: list[str] = []
            house.services.store._reading.conn.set_trace_callback(queries.append)
            answer = await visitor.ask("GET", f"/..{path}", basic(USER, PASSWORD))
            house.services.store._reading.conn.set_trace_callback(None)
            counts.append(len(queries))
            sizes.append(len(answer.body))
            assert not asked
    assert counts[0] == counts[1] > 0
    assert sizes[0] < sizes[1]
