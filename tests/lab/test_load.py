"""The load counts truthfully: none lost on an honest site, exactly the wronged requests on a careless one."""

from __future__ import annotations

import asyncio
import json
import sys
import time

import pytest

from lab.load import Load, LoadProcess, Mix, Report, Target, workers
from lab.waiting import until
from tests.lab import careless as wrongs
from tests.lab.careless import Wrong, careless
from tests.lab.programs import app

pytestmark = pytest.mark.slow

PLAIN = Mix(get=3, post=3, slow=0, fresh=3, websocket=0)
KEPT = Mix(get=3, post=3, slow=0, fresh=0, websocket=0)
POSTS = Mix(get=0, post=3, slow=0, fresh=0, websocket=0)
SOCKETS = Mix(get=0, post=0, slow=0, fresh=0, websocket=3)
NOTHING = Mix(0, 0, 0, 0, 0)


@pytest.fixture(autouse=True)
def _talkative_websockets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "BETWEEN_MESSAGES_S", 0.02)


@pytest.mark.parametrize(
    ("mix", "wrong", "reason"),
    [
        (PLAIN, wrongs.reset, "connection reset"),
        (PLAIN, wrongs.hang_up, "closed without an answer"),
        (PLAIN, wrongs.cut_in_head, "head cut"),
        (PLAIN, wrongs.cut_in_body, "body cut (91 of 94 bytes)"),
        (PLAIN, wrongs.bad_gateway, "status 502"),
        (PLAIN, wrongs.somebody_else, "not the application's answer: b'<h1>Welcome to nginx!'"),
        (KEPT, wrongs.silence, "no answer within 0.5 s"),
        (POSTS, wrongs.wrong_digest, "wrong digest"),
        (SOCKETS, wrongs.silence, "no answer within 0.5 s"),
        (SOCKETS, wrongs.reset, "connection reset"),
        (SOCKETS, wrongs.hang_up, "closed without a goodbye (0 of 2 bytes)"),
        (SOCKETS, wrongs.wrong_message, "wrong message"),
        (SOCKETS, wrongs.goodbye_instead, "goodbye 1001 instead of an answer"),
    ],
)
async def test_each_wronged_request_is_counted_once_with_its_reason(mix: Mix, wrong: Wrong, reason: str) -> None:
    async with careless(wrong) as site:
        # Only silence needs to be waited for: on a busy machine, a short limit would be a second wrong.
        load = Load(site.target, mix, timeout_s=0.5 if wrong is wrongs.silence else 10)
        load.start()
        await until(lambda: _is(site.wronged >= 6))
        report = await load.stop()
    assert (report.requests, report.failed) == (site.requests, site.wronged)
    assert {failure.reason for failure in report.failures} == {reason}
    assert len(report.failures) == report.failed == sum(report.reasons.values())


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (wrongs.error_behind, "abnormal end (1011)"),
        (wrongs.hang_up_behind, "closed without a goodbye (0 of 2 bytes)"),
    ],
)
async def test_an_abnormal_end_of_a_websocket_is_a_failure_beside_its_messages(wrong: Wrong, reason: str) -> None:
    async with careless(wrong) as site:
        load = Load(site.target, SOCKETS)
        load.start()
        await until(lambda: _is(site.wronged >= 12))
        report = await load.stop()
    assert (report.requests, report.failed) == (site.requests + site.wronged, site.wronged)
    assert set(report.reasons) == {f"websocket: {reason}"}


@pytest.mark.parametrize(("mix", "polite"), [(PLAIN, wrongs.polite_end), (SOCKETS, wrongs.goodbye_behind)])
async def test_an_announced_end_behind_an_answer_is_no_failure(mix: Mix, polite: Wrong) -> None:
    async with careless(polite) as site:
        load = Load(site.target, mix)
        load.start()
        await until(lambda: _is(site.wronged >= 12))
        report = await load.stop()
    assert (report.requests, report.failed) == (site.requests, 0)


async def test_nobody_there_is_a_failure_each_time() -> None:
    async with careless(wrongs.silence) as site:
        target = site.target
    load = Load(target, Mix(1, 1, 1, 1, 1))
    load.start()
    await until(lambda: _is(load.report.failed >= 20))
    report = await load.stop()
    assert report.failed == report.requests
    assert set(report.reasons) == {f"{kind}: connection refused" for kind in Mix._fields}


async def test_no_request_is_lost_on_an_honest_site(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(workers.KINDS, "slow", workers.Kind(path="/slow?s=0.2", is_paced=False))
    async with app("7") as site:
        await site.listens()
        load = Load(site.target, Mix(2, 2, 1, 2, 2), rate=400)
        load.start()
        await until(lambda: _is(len(load.report.by_kind) == 5 and load.report.requests > 400))
        report = await load.stop()
    assert report.failed == 0, report
    assert set(report.by_kind) == set(Mix._fields)
    assert report.by_kind["slow"].longest_s > 0.2
    answers = report.requests - report.by_kind["websocket"].requests
    assert {version: seen.answers for version, seen in report.versions.items()} == {"7": answers}


async def test_a_site_that_stops_under_load_is_noticed() -> None:
    async with app() as site:
        await site.listens()
        load = Load(site.target, Mix(2, 2, 0, 2, 2))
        load.start()
        await until(lambda: _is(load.report.requests > 100))
        assert load.report.failed == 0
        site.process.terminate()
        assert await site.ends() == 0
        await until(lambda: _is("fresh: connection refused" in load.report.reasons))
        report = await load.stop()
    assert not any(failure.kind == "websocket" and "1001" in failure.reason for failure in report.failures)


async def test_each_version_is_seen_with_its_first_and_last_time() -> None:
    async with careless(wrongs.polite_end) as site:
        load = Load(site.target, PLAIN)
        load.start()
        await until(lambda: _is(load.report.requests > 30))
        site.version, changed = "2", time.time()
        await until(lambda: _is("2" in load.report.versions))
        report = await load.stop()
    old, new = report.versions["1"], report.versions["2"]
    assert old.first < changed <= new.first <= new.last
    assert old.answers + new.answers == report.requests


async def test_a_rate_is_kept_by_all_workers_together() -> None:
    async with careless(wrongs.polite_end) as site:
        load = Load(site.target, PLAIN, rate=200)
        began = time.monotonic()
        load.start()
        await until(lambda: _is(site.requests >= 60))
        took = time.monotonic() - began
        await load.stop()
    assert took > 0.28  # 60 turns of 5 ms, of which the first comes at once


async def test_a_stopped_load_can_start_again_from_nothing() -> None:
    async with careless(wrongs.polite_end) as site:
        load = Load(site.target, PLAIN)
        for _ in range(2):
            came_before = site.requests
            load.start()
            await until(lambda: _is(load.report.requests > 10))
            report = await load.stop()
            assert report.requests == site.requests - came_before


async def test_in_its_own_process_it_counts_the_same() -> None:
    async with careless(wrongs.bad_gateway) as site:
        load = LoadProcess(site.target, PLAIN, rate=300)
        await load.start()
        await until(lambda: _is(load.report.failed >= 5))
        report = await load.stop()
    assert (report.requests, report.failed) == (site.requests, site.wronged)
    assert {failure.reason for failure in report.failures} == {"status 502"}


@pytest.mark.parametrize(("is_there", "code"), [(True, 0), (False, 1)])
async def test_as_a_command_its_exit_code_says_whether_anything_failed(is_there: bool, code: int) -> None:
    async with careless(wrongs.polite_end) as site:
        port = site.port if is_there else 1
        options = (
            f"--url=http://127.0.0.1:{port}",
            "--seconds=0.3",
            "--rate=100",
            "--slow=0",
            "--websocket=0",
        )
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "lab.load", *options, stdout=asyncio.subprocess.PIPE
        )
        output, _ = await process.communicate()
    assert process.returncode == code
    assert b"requests in 0." in output and (b"connection refused" in output) is not is_there


def test_a_report_goes_through_json_unchanged() -> None:
    report = Report()
    report.succeed("get", 0.25, "1")
    report.fail("post", "status 502")
    assert Report.from_json(report.to_json()) == report
    assert json.loads(report.to_json())["failures"][0][0] == "post"
    assert "1 x post: status 502" in str(report)


async def test_a_load_without_workers_does_nothing() -> None:
    load = Load(Target("127.0.0.1", 1), NOTHING)
    load.start()
    assert (await load.stop()).requests == 0


async def _is(fact: bool) -> bool:
    return fact
