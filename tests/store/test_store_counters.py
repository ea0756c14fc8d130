"""What is counted is counted once, in the same transaction, and never goes down."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlite_utils import Database

from bot.chat import CardKind
from bot.deployer import STEPS
from bot.models import Delivery, Kind, State
from bot.store import Store, deliveries
from bot.store.counters import Serving
from bot.store.migrations import schema
from tests.store.ledger import Ledger, digest

LIMITS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900, 3600)


def delivery(id: str, verdict: str = "accepted", **more: object) -> Delivery:
    values = {"event": "package", "received_at": datetime.now(UTC), "body_digest": id, "verdict": verdict}
    return Delivery.model_validate({"id": id} | values | more)


async def step(ledger: Ledger, deployment: int, seconds: float, state: State = State.PULLING) -> None:
    """A step that took so long, as the clock of the machine had it."""
    began = datetime(2026, 11, 24, 12, tzinfo=UTC)
    ended = began + timedelta(seconds=seconds)

    def write(db: Database) -> None:
        values = [deployment, state, began.isoformat(timespec="milliseconds")]
        db.execute("INSERT INTO steps (deployment, state, started_at) VALUES (?, ?, ?)", values)
        db.execute("UPDATE steps SET ended_at = ? WHERE ended_at IS NULL", [ended.isoformat(timespec="milliseconds")])

    await ledger.store.write(write)


async def taken(store: Store) -> dict[str, int]:
    """How often each step was taken that was."""
    return {step: each.total for step, each in (await store.durations()).items() if each.total}


async def endings(ledger: Ledger) -> dict[str, int]:
    return await ledger.store.counts("deployments")


# Deployments


async def test_each_ending_is_counted_once(ledger: Ledger) -> None:
    await ledger.service()
    await ledger.release("0001")
    await ledger.want()
    await ledger.want()  # the one before gives way
    claimed = await ledger.claim()
    await ledger.store.finish(claimed.id, State.FAILED, error="it is broken")
    await ledger.store.processed("nothing to do with it")
    await ledger.hold()
    await ledger.push("0002")  # ends as it is made
    waiting = await ledger.want()
    assert await ledger.store.cancel_pending(waiting.id, "not now")
    assert not await ledger.store.cancel_pending(waiting.id, "not now")
    wanted = {"succeeded": 1, "superseded": 1, "failed": 1, "held": 1, "cancelled": 1}
    assert await endings(ledger) == wanted


async def test_what_is_written_to_an_ended_deployment_counts_nothing(ledger: Ledger) -> None:
    await ledger.service()
    ended = await ledger.release("0001")
    await ledger.store.write(lambda db: db.execute("UPDATE deployments SET state = state, tag = 'x'"))
    assert (await ledger.store.deployment(ended.id)).tag == "x"
    assert await endings(ledger) == {"succeeded": 1}


async def test_what_was_not_committed_is_not_counted(ledger: Ledger) -> None:
    await ledger.service()
    wanted = await ledger.want()

    def fails(db: Database) -> None:
        db.execute("UPDATE deployments SET state = 'failed' WHERE id = ?", [wanted.id])
        raise ValueError

    with pytest.raises(ValueError):
        await ledger.store.write(fails)
    assert await endings(ledger) == {}


async def test_counts_outlive_o8_and_what_was_counted(database: Path) -> None:
    ledger = Ledger(await Store.open(database))
    await ledger.service()
    await ledger.release("0001")
    await ledger.store.forget_service("web")
    await ledger.store.close()
    again = await Store.open(database)
    assert await again.counts("deployments") == {"succeeded": 1}
    await again.close()


async def test_a_database_of_before_begins_at_nothing_and_counts_what_comes(database: Path) -> None:
    """What was under way while o8 was updated ends, and is counted."""
    database.parent.mkdir()
    old = Database(database)
    schema.apply(old, stop_before="m0005_changes")
    store = await Store.open(database)  # everything, on top of what was there
    ledger = Ledger(store)
    await ledger.service()
    assert await store.counts("deployments") == {}
    assert await taken(store) == {}
    await ledger.release("0001")
    assert await store.counts("deployments") == {"succeeded": 1}
    assert await taken(store) == {"resolving": 1, "switching": 1}
    await store.close()


async def test_what_has_not_ended_is_told_by_its_state(ledger: Ledger) -> None:
    for name in ("api", "shop", "web"):
        await ledger.service(name)
    await ledger.release("0001", service="api")
    await ledger.want("api")
    await ledger.want("shop")
    await ledger.want("web", tag="0001", needs_approval=True)
    assert await ledger.store.unfinished_by_state() == {"queued": 2, "waiting": 1}
    claimed = await ledger.claim("shop")
    await ledger.store.enter(claimed.id, State.PULLING)
    assert await ledger.store.unfinished_by_state() == {"pulling": 1, "queued": 1, "waiting": 1}


# Steps


async def test_a_step_is_in_the_bucket_of_its_time_and_in_all_above(ledger: Ledger) -> None:
    await ledger.service()
    id = (await ledger.want()).id
    for seconds in (0.0, 0.1, 0.101, 4, 7200):
        await step(ledger, id, seconds)
    found = (await ledger.store.durations())["pulling"]
    assert tuple(limit for limit, _ in found.buckets) == LIMITS
    assert dict(found.buckets) == dict.fromkeys(LIMITS, 2) | {
        limit: count for limit in LIMITS for at, count in ((0.25, 3), (5, 4)) if limit >= at
    }
    assert (found.total, round(found.seconds, 3)) == (5, 7204.201)


async def test_steps_are_counted_apart(ledger: Ledger) -> None:
    await ledger.service()
    id = (await ledger.want()).id
    await step(ledger, id, 2, State.PULLING)
    await step(ledger, id, 3, State.CHECKING)
    await step(ledger, id, 3, State.CHECKING)
    found = await ledger.store.durations()
    assert await taken(ledger.store) == {"pulling": 1, "checking": 2}
    assert (found["pulling"].seconds, found["checking"].seconds) == (2, 6)


async def test_a_step_that_was_never_taken_is_there_with_nothing(ledger: Ledger) -> None:
    found = await ledger.store.durations()
    assert tuple(found) == STEPS
    assert set(found.values()) == {(tuple((limit, 0) for limit in LIMITS), 0, 0)}


async def test_a_clock_that_was_set_back_takes_nothing_away(ledger: Ledger) -> None:
    await ledger.service()
    id = (await ledger.want()).id
    await step(ledger, id, 10)
    await step(ledger, id, -3600)
    found = (await ledger.store.durations())["pulling"]
    assert (found.total, found.seconds, dict(found.buckets)[0.1]) == (2, 10, 1)


async def test_a_step_that_a_kill_cut_off_is_counted_when_it_is_taken_up_again(ledger: Ledger) -> None:
    await ledger.service()
    await ledger.want()
    claimed = await ledger.claim()
    await ledger.store.enter(claimed.id, State.PULLING)
    assert await taken(ledger.store) == {}
    await ledger.store.requeue(claimed.id)
    assert (await ledger.store.durations())["pulling"].total == 1


# Deliveries


async def test_deliveries_are_counted_by_what_came_of_them(ledger: Ledger) -> None:
    await ledger.store.receive(delivery("one"), b"body", ())
    await ledger.store.receive(delivery("two", "ignored"), b"body", ())
    await asyncio.gather(*(ledger.store.receive(delivery("one"), b"body", ()) for _ in range(100)))
    assert await ledger.store.counts("deliveries") == {"accepted": 1, "ignored": 1, "duplicate": 100}


async def test_one_that_failed_inside_o8_was_accepted_before_and_again(ledger: Ledger) -> None:
    await ledger.store.receive(delivery("one"), b"body", ())
    for _ in range(2):
        await ledger.store.processed("one", failure="web: registry down")
    await ledger.store.receive(delivery("one"), b"body", ())
    assert await ledger.store.counts("deliveries") == {"accepted": 2, "failed": 1}


async def test_what_is_forgotten_stays_counted(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliveries, "KEPT_BODIES", 1)
    for number in range(30):
        await ledger.store.receive(delivery(str(number)), b"body", ())
    assert len(await ledger.store.deliveries(100)) < 15
    assert await ledger.store.counts("deliveries") == {"accepted": 30}


# Cards


async def card_behind_for(ledger: Ledger, seconds: float, kind: str = "deployment") -> None:
    at = (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat(timespec="milliseconds")
    await ledger.store.write(lambda db: db.execute("UPDATE cards SET changed_at = ? WHERE kind = ?", [at, kind]))


async def behind(ledger: Ledger) -> tuple[int, int]:
    """The wait to five seconds: time goes on while a test runs."""
    count, seconds = await ledger.store.cards_behind()
    return count, 5 * int(seconds // 5)


async def show(ledger: Ledger) -> None:
    for due in await ledger.store.due_cards():
        await ledger.store.card_shown(due.id, due.wanted, "C1", f"1.{due.id}")


async def test_a_card_is_behind_until_slack_shows_what_is_true(ledger: Ledger) -> None:
    await ledger.service()
    assert await ledger.store.cards_behind() == (0, 0)
    await ledger.want()
    await card_behind_for(ledger, 100)
    assert await behind(ledger) == (1, 100)
    await show(ledger)
    assert await ledger.store.cards_behind() == (0, 0)


async def test_what_slack_refuses_stays_behind_while_it_is_tried_again_later(ledger: Ledger) -> None:
    await ledger.service()
    await ledger.want()
    await card_behind_for(ledger, 100)
    (card,) = await ledger.store.due_cards()
    await ledger.store.card_failed(card.id, datetime.now(UTC) + timedelta(minutes=5))
    assert await behind(ledger) == (1, 100)


async def test_what_is_kept_back_is_not_behind_and_then_waits_from_the_end_of_that(ledger: Ledger) -> None:
    await ledger.service()
    await ledger.release("0001")
    await card_behind_for(ledger, 8 * 3600, "deployment")
    await card_behind_for(ledger, 8 * 3600, "steps")
    card = await ledger.store.card(CardKind.DEPLOYMENT, "1")
    await ledger.store.card_failed(card.id, datetime.now(UTC))  # Slack was away, then the quiet hours began
    await ledger.store.postpone_card(card.id, datetime.now(UTC) + timedelta(hours=1))
    assert await ledger.store.cards_behind() == (0, 0)
    await ledger.store.postpone_card(card.id, datetime.now(UTC) - timedelta(seconds=2))
    assert await behind(ledger) == (1, 0)


async def test_steps_in_a_thread_are_behind_once_they_have_one(ledger: Ledger) -> None:
    await ledger.service()
    await ledger.release("0001")
    await card_behind_for(ledger, 3600, "steps")
    card = await ledger.store.card(CardKind.DEPLOYMENT, "1")
    await ledger.store.card_shown(card.id, card.wanted, "C1", "1.1")
    assert await behind(ledger) == (1, 0)
    await show(ledger)
    assert await ledger.store.cards_behind() == (0, 0)


# What should run


async def test_what_should_run_is_what_serves(ledger: Ledger) -> None:
    await ledger.service("new")
    await ledger.service("web", replicas=3)
    first = await ledger.release("0001", 7)
    assert await ledger.store.serving() == (
        Serving("web", "ghcr.io/acme/web", "0001", "b", 3, (first.id,), needs_attention=False),
    )


async def test_a_rollback_runs_the_containers_of_its_release(ledger: Ledger) -> None:
    await ledger.service()
    first = await ledger.release("0001", 1)
    await ledger.release("0002", 2)
    back = await ledger.release("0001", 1, kind=Kind.ROLLBACK, target=first.id)
    (found,) = await ledger.store.serving()
    assert (found.release, found.deployments) == ("0001", (back.id, first.id))


async def test_a_stopped_service_should_not_run_and_one_in_trouble_says_so(ledger: Ledger) -> None:
    await ledger.service()
    await ledger.release("0001")
    await ledger.store.set_stopped("web", True)
    (found,) = await ledger.store.serving()
    assert (found.replicas, found.needs_attention) == (0, False)
    await ledger.want()
    claimed = await ledger.claim()
    await ledger.store.finish(claimed.id, State.NEEDS_ATTENTION, error="nobody knows")
    assert (await ledger.store.serving())[0].needs_attention
    await ledger.want()  # somebody has taken care
    assert not (await ledger.store.serving())[0].needs_attention


async def test_a_release_without_a_tag_is_called_by_its_digest(ledger: Ledger) -> None:
    await ledger.service()
    await ledger.release("", 5)
    assert (await ledger.store.serving())[0].release == digest(5).removeprefix("sha256:")[:12]
