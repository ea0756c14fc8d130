"""The inbox: a delivery and what it asks for are one write, and the same thing is never taken twice."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from bot.errors import NotFound
from bot.models import Delivery, Kind, State, Wanted
from bot.store import Store, deliveries
from tests.store.ledger import Ledger

WISH = Wanted(service="web", kind=Kind.DEPLOY, actor="delivery:1", tag="0001", is_automatic=True)


def delivery(id: str = "one", body: str = "body", **more: Any) -> Delivery:
    now = datetime.now(UTC)
    values = {"event": "package", "received_at": now, "verdict": "accepted", "accepted": ("web",), "processed_at": now}
    return Delivery(**{"id": id, "body_digest": body} | values | more)


async def test_a_delivery_and_its_wish_are_stored_together(ledger: Ledger) -> None:
    await ledger.service()
    await ledger.store.receive(delivery(), b"body", (WISH,))
    assert (await ledger.store.delivery("one")).accepted == ("web",)
    assert await ledger.states() == [State.QUEUED]


async def test_a_delivery_whose_wish_fails_is_not_stored_at_all(ledger: Ledger) -> None:
    with pytest.raises(NotFound):
        await ledger.store.receive(delivery(), b"body", (WISH,))
    assert await ledger.store.deliveries() == ()


@pytest.mark.parametrize("again", [delivery("one", "other body"), delivery("other id", "body")])
async def test_the_same_id_or_body_is_a_duplicate(ledger: Ledger, again: Delivery) -> None:
    await ledger.service()
    await ledger.store.receive(delivery(), b"body", (WISH,))
    assert await ledger.store.receive(again, b"body", (WISH,)) is None
    assert await ledger.states() == [State.QUEUED]
    assert [(d.id, d.duplicates) for d in await ledger.store.deliveries()] == [("one", 1)]


async def test_a_hundred_at_once_are_one_deployment(ledger: Ledger) -> None:
    await ledger.service()
    taken = await asyncio.gather(*(ledger.store.receive(delivery(), b"body", (WISH,)) for _ in range(100)))
    assert sum(each is not None for each in taken) == 1
    assert await ledger.states() == [State.QUEUED]
    assert (await ledger.store.delivery("one")).duplicates == 99


async def test_one_that_failed_inside_o8_is_taken_again(ledger: Ledger) -> None:
    await ledger.service()
    await ledger.store.receive(delivery(), b"body", ())
    await ledger.store.processed("one", failure="web: registry down")
    failed = await ledger.store.delivery("one")
    assert (failed.verdict, failed.ignored) == ("failed", ("web: registry down",))
    assert await ledger.store.receive(delivery(), b"body", (WISH,)) is not None
    assert (await ledger.store.delivery("one")).verdict == "accepted"


async def test_an_ignored_body_may_come_again_under_a_new_id(ledger: Ledger) -> None:
    """It was ignored because no service used the image; meanwhile one may."""
    await ledger.store.receive(delivery(verdict="ignored", accepted=(), ignored=("no service",)), b"body", ())
    await ledger.service()
    assert await ledger.store.receive(delivery("two"), b"body", (WISH,)) is not None


async def test_a_duplicate_is_counted_where_it_was_taken(ledger: Ledger) -> None:
    await ledger.service()
    await ledger.store.receive(delivery("one"), b"body", ())
    await ledger.store.processed("one", failure="registry down")
    await ledger.store.receive(delivery("two"), b"body", (WISH,))
    assert await ledger.store.receive(delivery("one"), b"body", (WISH,)) is None
    assert {d.id: d.duplicates for d in await ledger.store.deliveries()} == {"one": 0, "two": 1}


async def test_what_a_kill_left_is_found_until_it_is_processed(store: Store) -> None:
    await store.receive(delivery(processed_at=None), b"body", ())
    await store.receive(delivery("two", "other", verdict="ignored", processed_at=None), b"other", ())
    assert [d.id for d in await store.unprocessed()] == ["one"]
    await store.processed("one")
    assert await store.unprocessed() == ()


async def test_old_bodies_go_first_and_old_verdicts_later(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliveries, "KEPT_BODIES", 3)
    for number in range(40):
        at = datetime(2025, 1, 1, 0, number, tzinfo=UTC)
        await store.receive(delivery(str(number), str(number), received_at=at), b"body", ())
    kept = await store.read(lambda db: db.execute("SELECT count(*), count(body) FROM deliveries").fetchone())
    assert kept == (31, 4)
    assert (await store.deliveries(limit=1))[0].id == "39"


async def test_an_unknown_delivery_is_refused_by_name(store: Store) -> None:
    with pytest.raises(NotFound, match="There is no delivery 'x'"):
        await store.delivery("x")
