"""Any order of wishes, claims, endings, holds and locks keeps the queue's promises."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sqlite_utils import Database

from bot.deployer import STEPS
from bot.errors import Conflict
from bot.models import ENDINGS, Deployment, Kind, State
from bot.store import Store
from lab import docs
from tests.store.ledger import Ledger

pytestmark = pytest.mark.slow

T = TypeVar("T")
SERVICES = ("api", "web")
DRAWN = docs.transitions()
PENDING = (State.WAITING, State.QUEUED)
services = st.sampled_from(SERVICES)


class Queue(RuleBasedStateMachine):
    """What the worker and people do, one after the other, in an order that nobody chose."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = Path(tempfile.mkdtemp())
        self.open()
        self.running: dict[str, Deployment] = {}
        self.newest: dict[str, Deployment] = {}
        for name in SERVICES:
            self.wait(self.ledger.service(name))

    def open(self) -> None:
        self.ledger = Ledger(self.wait(Store.open(self.folder / "o8.sqlite")))
        self.wait(self.ledger.store.write(watch_changes_of_state))

    def wait(self, work: Awaitable[T]) -> T:
        return self.loop.run_until_complete(work)

    def teardown(self) -> None:
        self.wait(self.ledger.store.close())
        self.loop.close()
        shutil.rmtree(self.folder)

    @rule(service=services, tag=st.sampled_from(["", "0001", "0002"]), how=st.sampled_from(["push", "approve", "hand"]))
    def want(self, service: str, tag: str, how: str) -> None:
        asked: dict[str, Any] = {"is_automatic": how != "hand", "needs_approval": how == "approve"}
        before = self.wait(self.ledger.store.service(service))
        try:
            wanted = self.wait(self.ledger.want(service, tag=tag, **asked))
        except Conflict:
            assert before.lock and how == "hand"
            return
        assert (wanted.state is State.HELD) == bool(how != "hand" and (before.hold or before.lock or before.is_stopped))
        if wanted.state is not State.HELD:
            self.newest[service] = wanted

    @rule(service=services)
    def restart(self, service: str) -> None:
        self.newest[service] = self.wait(self.ledger.want(service, Kind.RESTART, is_repair=True))

    @rule(service=services)
    def roll_back(self, service: str) -> None:
        releases = self.wait(self.ledger.store.releases(service))
        if releases and not self.wait(self.ledger.store.service(service)).lock:
            wanted = self.wait(self.ledger.want(service, Kind.ROLLBACK, target=releases[-1].id))
            self.newest[service] = wanted
            assert self.wait(self.ledger.store.service(service)).hold

    @rule(service=services)
    def claim(self, service: str) -> None:
        if service in self.running:  # the worker runs one at a time per service
            return
        claimed = self.wait(self.ledger.store.claim(service))
        if claimed:
            assert claimed.id == self.newest[service].id
            self.running[service] = claimed

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def take_a_step(self, data: st.DataObject) -> None:
        """The next one of the story, up to the last."""
        service = data.draw(st.sampled_from(sorted(self.running)))
        running = self.wait(self.ledger.store.deployment(self.running[service].id))
        later = STEPS[STEPS.index(running.state) + 1 :]
        for state in later[: data.draw(st.integers(1, len(STEPS)))]:
            self.wait(self.ledger.store.enter(running.id, state, "a" if state is State.STARTING else None))
            self.wait(self.ledger.store.leave(running.id, {}, has_switched=state is State.SWITCHING))

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        """In one of the endings that docs/architecture.md draws from here."""
        service = data.draw(st.sampled_from(sorted(self.running)))
        running = self.wait(self.ledger.store.deployment(self.running[service].id))
        endings = sorted(two for one, two in DRAWN if one == running.state and State(two).is_ending)
        ending = State(data.draw(st.sampled_from(endings)))
        if running.switched_at and running.state is State.SWITCHING:
            return  # it goes on: from the switch on only draining can follow
        self.wait(self.ledger.store.finish(running.id, ending))
        del self.running[service]
        serves = running.switched_at and ending is not State.ROLLED_BACK
        assert self.wait(self.ledger.store.service(service)).live == (running.id if serves else running.previous)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def be_killed(self, data: st.DataObject) -> None:
        """And found again by the next start, as `Deployer.pick_up` does."""
        service = data.draw(st.sampled_from(sorted(self.running)))
        running = self.wait(self.ledger.store.deployment(self.running[service].id))
        if running.switched_at:
            self.wait(self.ledger.store.enter(running.id, State.DRAINING))
        else:
            self.wait(self.ledger.store.requeue(running.id))
            del self.running[service]

    @rule(service=services)
    def approve(self, service: str) -> None:
        waiting = [d for d in self.wait(self.ledger.store.deployments(service)) if d.state is State.WAITING]
        if waiting and not self.wait(self.ledger.store.service(service)).lock:
            self.newest[service] = self.wait(self.ledger.store.approve(waiting[0].id, "cli:ada"))

    @rule(service=services, how=st.sampled_from(["hold", "resume", "lock", "unlock", "stop", "start"]))
    def keep_back(self, service: str, how: str) -> None:
        store = self.ledger.store
        work = {
            "hold": lambda: self.ledger.hold(service), "resume": lambda: store.set_hold(service, None),
            "lock": lambda: self.ledger.lock(service, for_=timedelta(hours=1)),
            "unlock": lambda: store.set_lock(service, None),
            "stop": lambda: store.set_stopped(service, True), "start": lambda: store.set_stopped(service, False),
        }  # fmt: skip
        self.wait(work[how]())

    @rule()
    def start_again(self) -> None:
        self.wait(self.ledger.store.close())
        self.open()

    @invariant()
    def at_most_one_waits_one_is_queued_and_one_runs_per_service(self) -> None:
        for service in SERVICES:
            states = self.wait(self.ledger.states(service))
            assert all(states.count(state) <= 1 for state in PENDING)
            active = [state for state in states if state not in ENDINGS and state not in PENDING]
            assert len(active) == (1 if service in self.running else 0)

    @invariant()
    def what_serves_has_switched_and_was_not_rolled_back(self) -> None:
        for service in self.wait(self.ledger.store.services()):
            if service.live:
                live = self.wait(self.ledger.store.deployment(service.live))
                assert live.service == service.name and live.switched_at
                assert live.state in (State.SUCCEEDED, State.NEEDS_ATTENTION) or service.name in self.running

    @invariant()
    def every_change_of_state_is_drawn_in_the_architecture(self) -> None:
        assert set(self.wait(self.ledger.store.write(changes_of_state))) <= DRAWN

    @invariant()
    def each_ending_was_counted_once(self) -> None:
        ended = "SELECT state, count(*) FROM deployments WHERE finished_at IS NOT NULL GROUP BY state"
        found = self.wait(self.ledger.store.read(lambda db: dict(db.execute(ended).fetchall())))
        assert self.wait(self.ledger.store.counts("deployments")) == found

    @invariant()
    def exactly_the_endings_have_a_time(self) -> None:
        for deployment in self.wait(self.ledger.store.deployments(limit=1000)):
            assert deployment.state.is_ending == (deployment.finished_at is not None)


def watch_changes_of_state(db: Database) -> None:
    """From now on, this connection notes from where to where deployments go."""
    db.execute("CREATE TEMP TABLE changes (one TEXT, two TEXT)")
    db.execute(
        "CREATE TEMP TRIGGER changed AFTER UPDATE OF state ON main.deployments WHEN old.state <> new.state "
        "BEGIN INSERT INTO changes VALUES (old.state, new.state); END"
    )


def changes_of_state(db: Database) -> list[tuple[str, str]]:
    return list(db.execute("SELECT one, two FROM changes").fetchall())


Queue.TestCase.settings = settings(
    max_examples=25, stateful_step_count=30, deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip
test_the_queue_keeps_its_promises = Queue.TestCase
