"""What runs now and what it uses: as the engine tells it, bounded, and honest about what is not known."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest

from bot import observer
from bot.configuration import Configuration
from bot.engines import Usage, Workload
from bot.errors import EngineError, EngineUnavailable
from bot.models import Slot
from bot.observer import SAMPLES, Observer, Sample
from lab.waiting import until
from tests.fakes import FakeEngine

pytestmark = pytest.mark.slow

MIB = 1024 * 1024


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def watching(engine: FakeEngine) -> Observer:
    """Knows what runs only once it is told to look."""
    return Observer(engine)


@pytest.fixture
async def running(engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Observer]:
    """Follows the engine's changes, without the pauses."""
    monkeypatch.setattr(observer, "SETTLE_S", 0)
    found = Observer(engine)
    task = asyncio.create_task(found.run())
    yield found
    task.cancel()
    await asyncio.wait([task])


async def start(engine: FakeEngine, service: str = "web", replicas: int = 1, slot: Slot = "a") -> None:
    configuration = Configuration(name=service, image="ghcr.io/acme/web", port=8080, replicas=replicas)
    await engine.start(
        Workload(
            service=service, block=1, slot=slot, deployment=1, image="ghcr.io/acme/web", digest="",
            configuration=configuration, environment={},
        )
    )  # fmt: skip


def shows(found: Observer, service: str, states: list[str]) -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        return [replica.state for replica in found.replicas(service)] == states

    return look


def has_looked(found: Observer) -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        return found.has_looked

    return look


async def sample(
    engine: FakeEngine, found: Observer, cpu_seconds: float, memory: int, replica: str = "web-a-0"
) -> None:
    engine.used[replica] = Usage(cpu_seconds, memory, 512 * MIB)
    await found.measure()


# What runs


async def test_nothing_is_known_before_the_engine_has_told_anything(watching: Observer) -> None:
    assert not watching.has_looked
    await watching.look()
    assert watching.has_looked
    assert watching.replicas("web") == ()


async def test_a_look_at_one_service_does_not_make_all_of_them_known(engine: FakeEngine, watching: Observer) -> None:
    await start(engine)
    await watching.look("web")
    assert len(watching.replicas("web")) == 1
    assert not watching.has_looked


async def test_what_ran_before_o8_is_seen_at_the_first_connection(engine: FakeEngine, running: Observer) -> None:
    await start(engine, replicas=2)
    await until(shows(running, "web", ["running", "running"]))


async def test_each_change_is_seen_without_asking(engine: FakeEngine, running: Observer) -> None:
    await start(engine)
    await until(shows(running, "web", ["running"]))
    await engine.stop("web", "a", 1)
    await until(shows(running, "web", ["exited"]))
    await engine.clear("web", "a")
    await until(shows(running, "web", []))


async def test_a_burst_of_changes_is_one_look(
    engine: FakeEngine, running: Observer, monkeypatch: pytest.MonkeyPatch
) -> None:
    await until(has_looked(running))
    looks: list[str] = []
    observe = engine.observe

    async def counted(service: str = "") -> object:
        looks.append(service)
        return await observe(service)

    monkeypatch.setattr(engine, "observe", counted)
    await start(engine, replicas=3)
    for _ in range(20):
        engine.tell("web", "health_status")
    await until(shows(running, "web", ["running"] * 3))
    assert set(looks) == {"web"} and len(looks) <= 2


async def test_changes_that_were_lost_while_docker_restarted_are_found_again(
    engine: FakeEngine, running: Observer
) -> None:
    await start(engine, "web")
    await start(engine, "shop")
    await until(shows(running, "shop", ["running"]))
    engine.replicas.pop(("web", "a"))  # nobody tells of it
    engine.tell("", "connected")
    await until(shows(running, "web", []))
    assert len(running.replicas("shop")) == 1


async def test_an_engine_that_is_away_is_asked_again_until_it_tells(
    engine: FakeEngine, running: Observer, caplog: pytest.LogCaptureFixture
) -> None:
    await until(has_looked(running))
    engine.trouble = EngineUnavailable("Docker did not answer.")
    await start(engine)

    async def is_told() -> bool:
        return "Docker did not answer" in caplog.text

    await until(is_told)
    assert running.replicas("web") == ()
    engine.trouble = None  # and no further change is told
    await until(shows(running, "web", ["running"]))


async def test_a_container_is_known_by_its_id_or_the_beginning_of_it(engine: FakeEngine, watching: Observer) -> None:
    await start(engine, "a-long-name")
    await watching.look()
    (replica,) = watching.replicas("a-long-name")
    assert watching.service_of(replica.id) == watching.service_of(replica.id[:12]) == "a-long-name"
    assert watching.service_of(replica.id[:11]) == watching.service_of("") == watching.service_of("f" * 64) == ""


# What it uses


async def test_use_is_what_came_between_two_looks(engine: FakeEngine, watching: Observer) -> None:
    await start(engine)
    await watching.look()
    loop = asyncio.get_running_loop()
    began = loop.time()
    await sample(engine, watching, 100, 50 * MIB)
    assert watching.samples("web") == ()  # one look says nothing about now
    first = loop.time()
    await asyncio.sleep(0.02)
    second = loop.time()
    await sample(engine, watching, 101, 60 * MIB)
    (found,) = watching.samples("web")
    assert 1 / (loop.time() - began) <= found.cpus <= 1 / (second - first)
    assert (found.memory_bytes, found.memory_limit) == (60 * MIB, 512 * MIB)
    assert watching.now("web") == found


async def test_replicas_are_added_up_and_stopped_ones_left_out(engine: FakeEngine, watching: Observer) -> None:
    await start(engine, replicas=2)
    await start(engine, slot="b")
    await engine.stop("web", "b", 1)
    await watching.look()
    for seconds in (1, 2):
        for name in ("web-a-0", "web-a-1", "web-b-0"):
            engine.used[name] = Usage(seconds, 10 * MIB, 100 * MIB)
        await watching.measure()
    assert [(s.memory_bytes, s.memory_limit) for s in watching.samples("web")] == [(20 * MIB, 200 * MIB)]


async def test_a_counter_that_begins_anew_is_no_negative_use(engine: FakeEngine, watching: Observer) -> None:
    await start(engine)
    await watching.look()
    await sample(engine, watching, 500, MIB)
    await sample(engine, watching, 1, MIB)  # the container was started again
    assert watching.samples("web")[0].cpus == 0


async def test_a_service_that_stopped_uses_nothing_now(engine: FakeEngine, watching: Observer) -> None:
    await start(engine)
    await watching.look()
    for seconds in (1, 2):
        await sample(engine, watching, seconds, MIB)
    assert watching.now("web")
    await engine.stop("web", "a", 1)
    await watching.look()
    assert watching.now("web") is None
    assert len(watching.samples("web")) == 1  # the history stays


async def test_an_old_sample_says_nothing_about_now(engine: FakeEngine, watching: Observer) -> None:
    await start(engine)
    await watching.look()
    at = datetime.now(UTC)
    ages = {timedelta(minutes=61): 0, timedelta(minutes=59): 1, timedelta(minutes=2): 2, timedelta(seconds=30): 3}
    for age, cpus in ages.items():
        watching._samples["web"].append(Sample(at - age, cpus, MIB, MIB))
        assert (watching.now("web") is None) == (cpus < 3)
    assert [s.cpus for s in watching.samples("web")] == [1, 2, 3]


async def test_an_engine_that_does_not_answer_leaves_a_gap_and_is_not_asked_for_each_service(
    engine: FakeEngine, watching: Observer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(50):
        await start(engine, f"s{number}")
    await watching.look()
    asked = []

    async def hangs(replica: str) -> Usage | None:
        asked.append(replica)
        await asyncio.sleep(0)
        raise EngineUnavailable("Docker did not answer within 30 s.")

    usage = engine.usage
    monkeypatch.setattr(engine, "usage", hangs)
    await watching.measure()
    assert 1 <= len(asked) <= 2 * observer.AT_ONCE
    monkeypatch.setattr(engine, "usage", usage)
    await watching.measure()
    await watching.measure()
    assert all(len(watching.samples(f"s{number}")) == 1 for number in range(50))


async def test_many_are_asked_for_at_once_as_docker_takes_a_second_for_each(
    engine: FakeEngine, watching: Observer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(10):
        await start(engine, f"s{number}", replicas=8)
    await watching.look()
    asked, tick = 0, asyncio.Event()

    async def waits(replica: str) -> Usage | None:
        nonlocal asked
        asked += 1
        if asked == observer.AT_ONCE:
            tick.set()
        await tick.wait()
        return None

    monkeypatch.setattr(engine, "usage", waits)
    await asyncio.wait_for(watching.measure(), 10)
    assert asked == 80


async def test_one_container_that_docker_cannot_measure_does_not_hide_the_others(
    engine: FakeEngine, watching: Observer, monkeypatch: pytest.MonkeyPatch
) -> None:
    await start(engine, "bad")
    await start(engine, "good")
    await watching.look()
    usage = engine.usage

    async def refused(replica: str) -> Usage | None:
        if replica.startswith("bad"):
            raise EngineError("Docker could not measure it: no such cgroup.")
        return await usage(replica)

    monkeypatch.setattr(engine, "usage", refused)
    await watching.measure()
    await watching.measure()
    assert watching.now("good") and watching.now("bad") is None


async def test_a_docker_without_figures_is_told_once(
    engine: FakeEngine, watching: Observer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def nothing(replica: str) -> Usage | None:
        return None

    await watching.measure()  # nothing runs, so there is nothing to tell
    await start(engine)
    await watching.look()
    usage = engine.usage
    monkeypatch.setattr(engine, "usage", nothing)
    for _ in range(3):
        await watching.measure()
    assert caplog.text.count("Docker has no figures") == 1
    monkeypatch.setattr(engine, "usage", usage)
    await watching.measure()
    monkeypatch.setattr(engine, "usage", nothing)
    await watching.measure()
    assert caplog.text.count("Docker has no figures") == 2
    assert watching.now("web") is None


async def test_memory_is_bounded_however_long_it_runs_and_services_come_and_go(
    engine: FakeEngine, watching: Observer
) -> None:
    await start(engine, "stays")
    for number in range(3 * SAMPLES):
        await start(engine, f"goes{number}")
        await watching.look()
        await watching.measure()
        await watching.measure()
        await engine.clear(f"goes{number}", "a")
    await watching.look()
    await watching.measure()
    assert set(watching._samples) == set(watching._replicas) == {"stays"}
    assert len(watching._samples["stays"]) == SAMPLES
    assert set(watching._before) == {"stays-a-0"}


async def test_samples_are_taken_by_themselves_once_it_is_known_what_runs(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observer, "SETTLE_S", 0)
    monkeypatch.setattr(observer, "SAMPLE_S", 0.01)
    await start(engine)
    found = Observer(engine)
    task = asyncio.create_task(found.run())

    async def is_known() -> bool:
        return found.now("web") is not None

    await until(is_known)
    task.cancel()
    await asyncio.wait([task])
    assert engine._listeners == []  # nothing goes on
