"""What one reader gets before it shares what comes: what the feed holds, and before that what Docker still has."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import aclosing, nullcontext
from dataclasses import dataclass
from datetime import datetime

from bot.engines import Replica
from bot.errors import EngineError, NotFound, O8Error
from bot.logs.budget import Budget
from bot.logs.flows import merged
from bot.logs.lines import OWN, Cursor, Line, now, written
from bot.logs.order import After, Before, since
from bot.logs.source import Source, short


@dataclass(frozen=True)
class Wish:
    """The last `tail` lines of each replica, none older than `since`; or all that came after the place `after`."""

    tail: int = 100
    since: datetime | None = None
    after: Cursor | None = None


@dataclass(frozen=True)
class Held:
    """What a feed has at one moment. `known`: how far each replica was read.

    `whole`: replicas of which `lines` has everything.
    """

    lines: Sequence[Line]
    known: Cursor
    whole: Collection[str]


class Beginning:
    """Lines in the order of time, those of one replica in their own. Docker is read as fast as the reader takes it."""

    def __init__(self, source: Source, wish: Wish, held: Held, budget: Budget) -> None:
        self._source = source
        self._wish = wish
        self._held = held
        self._budget = budget

    async def lines(self) -> AsyncGenerator[Line, None]:
        held: defaultdict[str, list[Line]] = defaultdict(list)
        for line in self._held.lines:
            held[line.origin.replica].append(line)
        replicas = await self._replicas()
        asked = {name: replica for name, replica in replicas.items() if self._is_missing(name, held[name])}
        parts = [self._of(name, asked.get(name), mine) for name, mine in held.items()]
        async with self._budget.use(len(asked)) if asked else nullcontext(), aclosing(merged(parts)) as lines:
            async for line in lines:
                yield line

    async def _replicas(self) -> dict[str, Replica]:
        """Those that serve, and those that were read when they served."""
        try:
            live, found = await self._source.live(), await self._source.replicas()
        except EngineError:  # then what is held has to do
            return {}
        after = self._wish.after or Cursor()
        return {short(r): r for r in found if (live and r.slot == live.slot) or short(r) in after}

    def _is_missing(self, name: str, held: list[Line]) -> bool:
        """Whether Docker must be asked for what is wanted of a replica."""
        wish, is_read = self._wish, bool(held) or name in self._held.known
        if wish.after is not None and name in wish.after:
            place = wish.after[name]
            return place != self._held.known.get(name) and all(line.place != place for line in held)
        if not is_read or name in self._held.whole:
            return False  # it has not written a line yet; or nothing is older than what is held
        begin = written(wish.since) if wish.since else ""
        return wish.after is not None or (len(held) < wish.tail and not (held and held[0].at < begin))

    async def _of(self, name: str, asked: Replica | None, held: list[Line]) -> AsyncGenerator[Line, None]:
        """What is wanted of one replica; `asked`: Docker shall be, too."""
        before = _before(held, self._held.known, name)
        if self._wish.after is None:
            if asked:
                async for line in self._older(asked, self._wish.tail, self._wish.since, before):
                    yield line
            begin = written(self._wish.since) if self._wish.since else ""
            for line in held[-self._wish.tail :] if self._wish.tail else ():
                if line.at >= begin:
                    yield line
            return
        place = self._wish.after.get(name)
        after = After(place)
        if place is not None and place == self._held.known.get(name):
            return
        if asked:
            async for line in self._older(asked, None, since(place) if place else None, before):
                for one in after.takes(line):
                    yield one
        begin = max(at for at, _ in self._wish.after.values()) if name == OWN.replica and place is None else ""
        for line in held:
            if line.at > begin:
                for one in after.takes(line):
                    yield one
        for one in after.end():
            yield one

    async def _older(
        self, replica: Replica, tail: int | None, since: datetime | None, before: Before | None
    ) -> AsyncGenerator[Line, None]:
        try:
            async with aclosing(self._source.lines(replica, tail=tail, since=since)) as lines:
                async for line in lines:
                    for one in before.takes(line) if before else (line,):
                        yield one
                    if before and before.is_over:
                        return
            for one in before.end() if before else ():
                yield one
        except NotFound:  # the container was removed meanwhile, and its log with it
            return
        except O8Error as trouble:
            yield Line(now(), f"--- Older lines are missing: {trouble} ---")


def _before(held: list[Line], known: Cursor, name: str) -> Before | None:
    if held:
        return Before(held[0].place)
    return Before(known[name], and_itself=True) if name in known else None
