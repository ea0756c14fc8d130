"""What every engine must do. To test one: subclass `EngineContract`, make the fixtures `engine` and `image`.

`engine` is empty at first and can start `image`, a web server on port 8080 that answers with $VERSION.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest

from bot.configuration import Configuration
from bot.engines import Credentials, Engine, Replica, Workload
from bot.errors import InvalidInput, NotFound, O8Error
from bot.models import Address, Slot
from lab.images import Image
from lab.waiting import until

NOBODY = Credentials("", "", "")
ABSENT = "sha256:" + "0" * 64
LOOP = "trap 'exit 0' TERM; while :; do sleep 0.1; done"
PATIENCE_S = 5.0  # with a private daemon; a busy machine takes more than one to start a container


def workload(
    image: Image, service: str, slot: Slot = "a", *, deployment: int = 1, script: str = "", **keys: Any
) -> Workload:
    """A workload of `image`; `script` replaces its command, `keys` are keys of the service file."""
    command = ("sh", "-c", script) if script else ()
    return Workload(
        service=service,
        block=3,
        slot=slot,
        deployment=deployment,
        image=image.image,
        digest=image.digest,
        configuration=Configuration(
            name=service,
            image="ghcr.io/acme/web",
            port=8080,
            **{"command": command, "stop_timeout": 5, **keys},
        ),
        environment={"VERSION": f"release-{deployment}"},
    )


async def answer(address: Address) -> str:
    """The web page at `address`, empty while nothing answers."""
    try:
        async with aiohttp.ClientSession() as session, session.get(f"http://{address}/") as response:
            return (await response.text()).strip()
    except aiohttp.ClientError:
        return ""


async def only(engine: Engine, service: str) -> Replica:
    (replica,) = await engine.observe(service)
    return replica


async def ended(engine: Engine, service: str) -> Replica:
    async def look() -> Replica | None:
        replica = await only(engine, service)
        return replica if replica.state == "exited" else None

    replica = await until(look)
    assert replica
    return replica


async def log_of(engine: Engine, service: str, **how: Any) -> list[bytes]:
    replica = await only(engine, service)
    options = {"tail": None, "since": None, "follow": False, "timestamps": False, **how}
    return [line async for line in engine.log(replica.id, **options)]


class EngineContract:
    async def test_a_replica_answers_at_the_address_known_beforehand(
        self, engine: Engine, image: Image, service_name: str
    ) -> None:
        (address,) = engine.addresses(3, "a", 1, 8080)
        await engine.start(workload(image, service_name, deployment=7))
        assert await until(lambda: answer(address)) == "release-7"

    async def test_replicas_and_slots_have_addresses_of_their_own(
        self, engine: Engine, image: Image, service_name: str
    ) -> None:
        await engine.start(workload(image, service_name, "a", deployment=1, replicas=3))
        await engine.start(workload(image, service_name, "b", deployment=2))
        planned = engine.addresses(3, "a", 3, 8080) + engine.addresses(3, "b", 1, 8080)
        seen = await engine.observe(service_name)
        assert tuple(replica.address for replica in seen) == planned
        assert len(set(planned)) == 4
        assert [(r.slot, r.index, r.deployment) for r in seen] == [
            ("a", 0, 1),
            ("a", 1, 1),
            ("a", 2, 1),
            ("b", 0, 2),
        ]

    async def test_a_started_replica_is_seen_as_it_is(self, engine: Engine, image: Image, service_name: str) -> None:
        before = datetime.now(UTC) - timedelta(seconds=2)
        await engine.start(workload(image, service_name, deployment=7))
        replica = await only(engine, service_name)
        assert (replica.service, replica.slot, replica.index, replica.deployment) == (service_name, "a", 0, 7)
        assert (replica.state, replica.health, replica.restarts) == ("running", "none", 0)
        assert replica.started_at and before < replica.started_at < datetime.now(UTC) + timedelta(seconds=2)

    async def test_starting_a_slot_again_replaces_what_was_there(
        self, engine: Engine, image: Image, service_name: str
    ) -> None:
        await engine.start(workload(image, service_name, deployment=1, replicas=2))
        await engine.start(workload(image, service_name, deployment=2))
        assert (await only(engine, service_name)).deployment == 2

    async def test_a_stopped_replica_stays_and_resumes_at_its_address(
        self, engine: Engine, image: Image, service_name: str
    ) -> None:
        await engine.start(workload(image, service_name))
        first = await only(engine, service_name)
        await engine.stop(service_name, "a", 5)
        stopped = await only(engine, service_name)
        assert (stopped.id, stopped.state, stopped.address) == (first.id, "exited", None)
        await engine.resume(service_name, "a")
        resumed = await only(engine, service_name)
        assert (resumed.id, resumed.state, resumed.address) == (first.id, "running", first.address)

    async def test_a_replica_that_ignores_sigterm_is_killed_in_time(
        self, engine: Engine, image: Image, service_name: str
    ) -> None:
        await engine.start(workload(image, service_name, script="trap '' TERM; while :; do sleep 0.1; done"))
        await asyncio.wait_for(engine.stop(service_name, "a", 1), 20)
        assert (await only(engine, service_name)).exit_code == 137

    async def test_clearing_removes_running_replicas_and_only_of_that_slot(
        self, engine: Engine, image: Image, service_name: str
    ) -> None:
        await engine.start(workload(image, service_name, "a", replicas=2))
        await engine.start(workload(image, service_name, "b"))
        await engine.clear(service_name, "a")
        assert [replica.slot for replica in await engine.observe(service_name)] == ["b"]

    async def test_every_verb_is_done_when_there_is_nothing_to_do(
        self, engine: Engine, image: Image, service_name: str
    ) -> None:
        await engine.clear(service_name, "a")
        await engine.stop(service_name, "a", 1)
        await engine.resume(service_name, "a")
        await engine.settle(service_name, "a", "always")
        await engine.remove_image(image.image, ABSENT)
        assert await engine.observe(service_name) == ()

    async def test_two_clears_at_once_both_succeed(self, engine: Engine, image: Image, service_name: str) -> None:
        await engine.start(workload(image, service_name, replicas=2))
        await asyncio.gather(*(engine.clear(service_name, "a") for _ in range(3)))
        assert await engine.observe(service_name) == ()

    async def test_an_exit_is_seen_and_not_restarted_before_it_is_settled(
        self, engine: Engine, image: Image, service_name: str
    ) -> None:
        await engine.start(workload(image, service_name, script="exit 3", restart="always"))
        replica = await ended(engine, service_name)
        assert (replica.exit_code, replica.is_oom_killed, replica.restarts) == (3, False, 0)

    async def test_a_settled_replica_is_restarted_when_it_exits(
        self, engine: Engine, image: Image, service_name: str
    ) -> None:
        await engine.start(workload(image, service_name, script="sleep 0.5; exit 3"))
        await engine.settle(service_name, "a", "always")

        async def restarts() -> int:
            return (await only(engine, service_name)).restarts

        assert await until(restarts) > 0
        await engine.settle(service_name, "a", "no")

    async def test_running_out_of_memory_is_seen(self, engine: Engine, image: Image, service_name: str) -> None:
        """Of a child, whose parent lives on: the word of a kill that ends the container may be lost."""
        greedy = "sh -c 'x=x; while :; do x=$x$x; done'; sleep 4; exit 7"
        await engine.start(workload(image, service_name, script=greedy, limits={"memory": "16m"}))
        replica = await ended(engine, service_name)
        assert (replica.is_oom_killed, replica.exit_code) == (True, 7)

    async def test_an_absent_image_is_named_and_nothing_is_left_running(
        self, engine: Engine, image: Image, service_name: str
    ) -> None:
        assert await engine.has_image(image.image, image.digest)
        assert not await engine.has_image(image.image, ABSENT)
        absent = workload(image._replace(digest=ABSENT), service_name)
        with pytest.raises(O8Error, match=ABSENT):
            await engine.start(absent)
        assert await engine.observe(service_name) == ()

    async def test_a_present_image_is_not_pulled(self, engine: Engine, image: Image) -> None:
        told: list[tuple[int, int]] = []
        await engine.pull(image.image, image.digest, NOBODY, lambda *bytes: told.append(bytes), lambda: True)
        assert not told

    async def test_an_image_in_use_is_not_removed(self, engine: Engine, image: Image, service_name: str) -> None:
        await engine.start(workload(image, service_name))
        await engine.remove_image(image.image, image.digest)
        assert (await only(engine, service_name)).state == "running"

    @pytest.mark.parametrize("name", ["../images/x", "a/b", "web?force=1", "Web", "", "-web", "web\n", "w" * 64])
    async def test_names_outside_the_grammar_are_refused(self, engine: Engine, image: Image, name: str) -> None:
        with pytest.raises(InvalidInput):
            await engine.start(workload(image, "good").model_copy(update={"service": name}))
        with pytest.raises(InvalidInput):
            _ = [line async for line in engine.log(name, tail=1, since=None, follow=False, timestamps=False)]
        with pytest.raises(InvalidInput):
            await engine.has_image(f"ghcr.io/{name}?", image.digest)
        with pytest.raises(InvalidInput):
            await engine.has_image(image.image, f"sha256:{name}")

    async def test_the_log_has_both_outputs_whole(self, engine: Engine, image: Image, service_name: str) -> None:
        script = "echo one; echo two >&2; printf three; seq -s , 20000 | tr -d '\\n'; echo; printf end"
        await engine.start(workload(image, service_name, script=script))
        await ended(engine, service_name)
        lines = await log_of(engine, service_name)
        numbers = b"three" + ",".join(str(n) for n in range(1, 20001)).encode()
        assert sorted(lines) == sorted([b"one", b"two", numbers, b"end"])
        stamped = await log_of(engine, service_name, timestamps=True)
        assert sorted(line.partition(b" ")[2] for line in stamped) == sorted(lines)
        assert all(datetime.fromisoformat(line.partition(b" ")[0].decode()) for line in stamped)

    async def test_the_log_can_be_cut_by_count_and_time(self, engine: Engine, image: Image, service_name: str) -> None:
        await engine.start(workload(image, service_name, script="for n in 1 2 3; do echo $n; sleep 0.2; done"))
        await ended(engine, service_name)
        assert await log_of(engine, service_name, tail=2) == [b"2", b"3"]
        stamped = await log_of(engine, service_name, timestamps=True)
        third = datetime.fromisoformat(stamped[2].partition(b" ")[0].decode())
        assert await log_of(engine, service_name, since=third) == [b"3"]
        assert await log_of(engine, service_name, since=third + timedelta(hours=1)) == []

    async def test_a_followed_log_ends_with_its_replica(self, engine: Engine, image: Image, service_name: str) -> None:
        await engine.start(workload(image, service_name, script="for n in 1 2 3; do echo $n; sleep 0.2; done"))
        assert await asyncio.wait_for(log_of(engine, service_name, follow=True), 10) == [b"1", b"2", b"3"]

    async def test_a_quiet_log_can_be_left_at_once(self, engine: Engine, image: Image, service_name: str) -> None:
        await engine.start(workload(image, service_name, script=f"echo ready; {LOOP}"))
        replica = await only(engine, service_name)
        for _ in range(40):  # more than an engine reads at the same time
            lines = engine.log(replica.id, tail=None, since=None, follow=True, timestamps=False)
            async with asyncio.timeout(5), aclosing(lines):
                assert await anext(lines) == b"ready"

    async def test_a_waiting_reader_can_be_cancelled(self, engine: Engine, image: Image, service_name: str) -> None:
        await engine.start(workload(image, service_name, script=LOOP))
        reading = asyncio.create_task(log_of(engine, service_name, follow=True))
        await asyncio.sleep(0.2)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(reading, 20)

    async def test_the_log_of_nobody_is_not_found(self, engine: Engine) -> None:
        with pytest.raises(NotFound):
            _ = [_ async for _ in engine.log("0" * 64, tail=1, since=None, follow=False, timestamps=False)]

    async def test_changes_tell_of_the_connection_then_of_replicas(
        self, engine: Engine, image: Image, service_name: str
    ) -> None:
        async with aclosing(engine.changes()) as changes:  # type: ignore[type-var]
            assert await anext(changes) == ("", "connected")
            await engine.start(workload(image, service_name, script="exit 3"))
            assert await asyncio.wait_for(anext(changes), 20) == (service_name, "start")
            assert await asyncio.wait_for(anext(changes), 20) == (service_name, "die")
            await engine.clear(service_name, "a")
            assert await asyncio.wait_for(anext(changes), 20) == (service_name, "destroy")

    async def test_our_own_replicas_are_no_strangers(self, engine: Engine, image: Image, service_name: str) -> None:
        await engine.start(workload(image, service_name))
        assert not [name for name in await engine.foreign_images() if service_name in name]

    async def test_use_of_processors_grows_with_work_and_memory_stays_within_its_limit(
        self, engine: Engine, image: Image, service_name: str
    ) -> None:
        limits = {"memory": "64m", "cpus": 0.5}
        await engine.start(workload(image, service_name, script="while :; do :; done", limits=limits))
        replica = await only(engine, service_name)
        first = await engine.usage(replica.id)
        assert first

        async def has_worked() -> bool:
            found = await engine.usage(replica.id)
            return found is not None and found.cpu_seconds > first.cpu_seconds + 0.1

        assert await until(has_worked)
        assert 0 < first.memory_bytes < first.memory_limit == 64 * 1024**2

    async def test_who_only_waits_uses_next_to_nothing(self, engine: Engine, image: Image, service_name: str) -> None:
        await engine.start(workload(image, service_name, script="exec sleep 1000"))
        replica = await only(engine, service_name)
        first = await engine.usage(replica.id)
        await asyncio.sleep(0.5)
        second = await engine.usage(replica.id)
        assert first and second and 0 <= second.cpu_seconds - first.cpu_seconds < 0.1

    async def test_memory_that_is_held_is_told_and_files_that_were_written_are_not(
        self, engine: Engine, image: Image, service_name: str
    ) -> None:
        async def memory_after(does: str) -> int:
            await engine.start(workload(image, service_name, script=f"{does}; echo done; {LOOP}"))

            async def is_done() -> bool:
                return b"done" in await log_of(engine, service_name)

            await until(is_done, 30)
            found = await engine.usage((await only(engine, service_name)).id)
            assert found
            return found.memory_bytes

        writes = "dd if=/dev/zero of=/tmp/file bs=1M count=60 2>/dev/null; sync"
        assert await memory_after(writes) < 30_000_000
        assert await memory_after("x=$(head -c 40000000 /dev/zero | tr '\\0' x)") > 30_000_000

    async def test_who_does_not_run_uses_nothing(self, engine: Engine, image: Image, service_name: str) -> None:
        await engine.start(workload(image, service_name))
        replica = await only(engine, service_name)
        await engine.stop(service_name, "a", 1)
        assert await engine.usage(replica.id) is None
        await engine.clear(service_name, "a")
        assert await engine.usage(replica.id) is None

    async def test_facts_describe_the_engine(self, engine: Engine) -> None:
        facts = await engine.facts()
        assert facts.platform.startswith("linux/")
        assert 0 < facts.storage_bytes_free < facts.storage_bytes_total

    def test_addresses_do_not_overlap(self, engine: Engine) -> None:
        slots: tuple[Slot, Slot] = ("a", "b")
        every = [a for block in (1, 2, 3) for slot in slots for a in engine.addresses(block, slot, 8, 80)]
        assert len(set(every)) == len(every) == 48
