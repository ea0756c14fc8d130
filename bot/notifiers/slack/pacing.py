"""Which card is sent next, and when: what is final first, within Slack's limits. Pure; times are seconds of any clock.

https://docs.slack.dev/apis/web-api/rate-limits: one message a second per channel; chat.update 50 a minute (tier 3).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from bot.chat import Card

UPDATES_PER_MIN = 40  # of 50: others of the workspace's apps are not counted, clocks differ
POST_GAP_S, UPDATE_GAP_S = 1.1, 3.0  # per channel; per card


class Due(NamedTuple):
    """A card that does not show what is true. `channel` is where it is or will be posted."""

    card: Card
    channel: str
    not_before: float = 0.0

    @property
    def is_update(self) -> bool:
        return bool(self.card.ts)

    @property
    def rank(self) -> tuple[int, int]:
        """Final states first, then new cards, then progress; the oldest of each."""
        return (0 if self.card.is_final else 2 if self.is_update else 1, self.card.id)


class Pace:
    """Remembers what was sent. `next` decides, `sent` and `hush` are told what came of it."""

    def __init__(self) -> None:
        self._updates: deque[float] = deque()
        self._posts: dict[str, float] = {}
        self._of_card: dict[int, float] = {}
        self._silent_until = 0.0

    def next(self, dues: Iterable[Due], now: float) -> Due | float:
        """The card to send now, or how many seconds to wait (infinity: nothing is due)."""
        waiting: list[float] = []
        for due in sorted(dues, key=lambda due: due.rank):
            free_at = max(self._free_at(due, now), due.not_before)
            if free_at <= now:
                return due
            waiting.append(free_at)
        return max(min(waiting) - now, 0.01) if waiting else float("inf")

    def sent(self, due: Due, now: float) -> None:
        """A request for it went out, whatever came of it."""
        if due.is_update:
            self._updates.append(now)
        else:
            self._posts[due.channel] = now
        self._of_card[due.card.id] = now
        if len(self._of_card) > 10_000:
            self._of_card = {id: at for id, at in self._of_card.items() if at > now - UPDATE_GAP_S}

    def hush(self, until: float) -> None:
        """Slack asked for silence."""
        self._silent_until = max(self._silent_until, until)

    def _free_at(self, due: Due, now: float) -> float:
        while self._updates and self._updates[0] <= now - 60:
            self._updates.popleft()
        free = self._silent_until
        if due.is_update:
            free = max(free, self._of_card.get(due.card.id, -60.0) + UPDATE_GAP_S)
            if len(self._updates) >= UPDATES_PER_MIN:
                free = max(free, self._updates[0] + 60.01)
            return free
        # A channel that is only known by its name may be any of those known by id.
        is_named = due.channel.startswith("#")
        last = (at for channel, at in self._posts.items() if is_named or channel == due.channel or channel[0] == "#")
        return max(free, max(last, default=-60.0) + POST_GAP_S)
