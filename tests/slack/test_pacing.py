"""Slack's limits are kept whatever comes, final states are first, and nothing waits for ever."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bot.chat import Card, CardKind
from bot.notifiers.slack.pacing import Due, Pace

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def due(id: int, *, channel: str = "C1", is_final: bool = False, is_posted: bool = False, not_before: float = 0) -> Due:
    more: dict[str, Any] = {"ts": "1.1", "channel": channel} if is_posted else {}
    card = Card(
        id=id, kind=CardKind.DEPLOYMENT, subject=str(id), wanted=2, shown=1, is_final=is_final, changed_at=NOW, **more
    )
    return Due(card, channel, not_before)


CARDS = st.builds(
    due,
    st.integers(1, 40),
    channel=st.sampled_from(["C1", "C2", "C3"]),
    is_final=st.booleans(),
    is_posted=st.booleans(),
)


@given(st.lists(CARDS, min_size=1, max_size=60, unique_by=lambda one: one.card.id), st.integers(1, 3))
def test_no_limit_is_ever_exceeded_and_every_card_is_reached(cards: list[Due], rounds: int) -> None:
    pace, now = Pace(), 1000.0
    sent: list[tuple[float, Due]] = []
    for _ in range(rounds):  # each card wants to be shown again and again
        left = list(cards)
        while left:
            found = pace.next(left, now)
            if isinstance(found, float):
                assert 0 < found <= 60.1
                now += found
                continue
            pace.sent(found, now)
            sent.append((now, found))
            left.remove(found)
    assert len(sent) == rounds * len(cards)
    updates = [at for at, one in sent if one.is_update]
    assert all(sum(start <= at < start + 60 for at in updates) <= 50 for start in updates)
    for channel in ("C1", "C2", "C3"):
        posts = [at for at, one in sent if not one.is_update and one.channel == channel]
        assert all(later - earlier >= 1 for earlier, later in pairwise(posts))
    for id in {one.card.id for one in cards}:
        edits = [at for at, one in sent if one.is_update and one.card.id == id]
        assert all(later - earlier >= 3 for earlier, later in pairwise(edits))


def test_what_is_final_goes_before_what_is_new_and_that_before_progress() -> None:
    cards = [due(1, is_posted=True), due(2), due(3, is_posted=True, is_final=True)]
    pace, order = Pace(), []
    while cards:
        found = pace.next(cards, 1000.0)
        assert isinstance(found, Due)
        order.append(found.card.id)
        cards.remove(found)
    assert order == [3, 2, 1]


def test_nothing_to_do_is_no_reason_to_wake_up() -> None:
    assert Pace().next([], 0.0) == float("inf")


def test_silence_that_slack_asks_for_is_kept() -> None:
    pace = Pace()
    pace.hush(1030.0)
    assert pace.next([due(1)], 1000.0) == 30.0
    assert isinstance(pace.next([due(1)], 1030.0), Due)


def test_a_card_that_is_put_off_does_not_hold_up_others() -> None:
    found = Pace().next([due(1, is_final=True, not_before=2000.0), due(2)], 1000.0)
    assert isinstance(found, Due)
    assert found.card.id == 2
