"""The log of one service while somebody reads it: copies Docker's streams to a board from which readers are served."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass

from bot.engines import Replica
from bot.errors import EngineError, EngineUnavailable, NotFound, O8Error, StoreUnavailable
from bot.logs.beginning import Beginning, Held, Wish
from bot.logs.board import Board, TooSlow
from bot.logs.budget import LONGEST_S, Budget
from bot.logs.flows import gathered
from bot.logs.lines import Batch, Cursor, Line
from bot.logs.order import After, Once, since
from bot.logs.source import Source, short
from bot.models import Deployment

FIRST_LINES = 1000  # of each replica, so that who asks for the last ones finds them here
MOST_LINES = 100_000  # of a replica that has just come
FIRST_S = 5.0  # a reader waits so long for the last lines
LOOK_S = 1.0  # between two looks at which replicas there are; sooner when something was written down
PAUSE_S = 0.2  # but no sooner than this
LINGER_S = 10.0  # a feed outlives its last reader: a page that is loaded again finds it


@dataclass
class _Copy:
    """One reading of a replica's log. `run` tells its starts from one another."""

    run: object
    task: asyncio.Task[None] | None = None
    has_all: bool = False  # up to the stop of the replica
    complaint: str = ""  # said once

    @property
    def is_at_work(self) -> bool:
        return self.task is not None and not self.task.done()

    def has_all_of(self, run: object) -> bool:
        return self.has_all and self.run == run


class Feed:
    """`read` is for readers. Everything else happens in one task that starts with the first and ends after the last."""

    def __init__(self, service: str, source: Source, budget: Budget, forget: Callable[[str, Feed], None]) -> None:
        """`forget` is called at the end."""
        self._service = service
        self._source = source
        self._budget = budget
        self._forget = forget
        self._board = Board()
        self._was_read = False  # so a replica that comes now is a new one, and all of its log is
        self._copies: dict[str, _Copy] = {}  # by how places name replicas
        self._whole: set[str] = set()  # replicas that were read from their first line on
        self._unread: set[str] = set()  # of those there were at first
        self._once: defaultdict[str, Once] = defaultdict(Once)
        self._live: Deployment | None = None
        self._is_away = False  # Docker or the database does not answer
        self._left_at = 0.0
        self._task: asyncio.Task[None] | None = None
        self.takes_readers = True

    async def read(self, wish: Wish) -> AsyncGenerator[Batch, None]:
        """See `Logs.follow`."""
        board, place, told = self._board, 0, 0
        board.readers += 1
        self._task = self._task or asyncio.create_task(self._run(), name=f"log of {self._service}")
        try:
            if not self._was_read:
                async with aclosing(board.read(0)) as batches:  # only o8's own words, while Docker is away
                    async for batch in batches:
                        if self._was_read:
                            break
                        words = tuple(line for line in batch.lines if line.is_marker)
                        yield Batch(batch.start, words)
                        told += len(words)
            if board.has_ended and not self._was_read:
                return
            for parts in (self._beginning(told, wish), None):
                async with aclosing(parts or board.read(place)) as batches:
                    async for batch in batches:
                        yield batch
                        place = batch.end
        finally:
            board.readers -= 1
            self._left_at = asyncio.get_running_loop().time()

    async def close(self) -> None:
        """Ends it, and the reading."""
        self.takes_readers = False
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _beginning(self, told: int, wish: Wish) -> AsyncGenerator[Batch, None]:
        """Batches that all end where the feed is now: from there on nothing is missed.

        `told`: how many of o8's own lines the reader has had.
        """
        board = self._board
        board.show()
        whole = frozenset(self._whole if board.is_whole else ())
        lines = board.lines()
        for line in [line for line in lines if line.is_marker][:told] if told else ():
            lines.remove(line)
        held, end = Held(lines, board.known.copy(), whole), board.end
        loop = asyncio.get_running_loop()
        deadline = loop.time() + LONGEST_S
        last: tuple[Line, ...] = ()
        if self._budget.is_spent:  # it may take a while: the answer begins
            yield Batch(end, ())
        beginning = Beginning(self._source, wish, held, self._budget)
        async with aclosing(gathered(beginning.lines())) as groups:
            async for group in groups:
                if last:
                    yield Batch(end - len(last), last)
                if loop.time() > deadline:
                    raise TooSlow
                last = group
        # Replicas of which no line was wanted have been read, too: who comes back does not want their old ones.
        places = Cursor({line.origin.replica: line.place for line in last} | held.known)
        yield Batch(end - len(last), last, places)

    async def _run(self) -> None:
        """Until nobody has read for a while, or the service is gone."""
        beat = asyncio.create_task(self._board.beat())
        trouble = None
        try:
            await self._look_often()
        except O8Error as error:
            trouble = error
        finally:
            self.takes_readers = False
            self._forget(self._service, self)
            tasks = [beat, *(copy.task for copy in self._copies.values() if copy.task)]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._board.finish(trouble)

    async def _look_often(self) -> None:
        loop = asyncio.get_running_loop()
        while self._board.readers or loop.time() - self._left_at < LINGER_S:
            seen = await self._source.committed()
            await self._look()
            await asyncio.sleep(PAUSE_S)  # however much is written to the database
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._source.committed(seen)

    async def _look(self) -> None:
        """Sees to it that every replica that serves is copied."""
        try:
            await self._note_release()
            replicas = await self._replicas()
            if not self._was_read:
                await self._begin(replicas)
        except (EngineError, StoreUnavailable) as trouble:
            if not self._is_away:
                self._board.mark(f"{trouble.message} The log goes on when that is over.")
            self._is_away = True
            return
        self._is_away = False
        for replica in replicas:
            copy, run = self._copies.get(short(replica)), (replica.started_at, replica.restarts)
            # One that dies again and again is hardly ever seen running, so what tells is that it ran once more.
            if copy is None or (not copy.is_at_work and (replica.state == "running" or not copy.has_all_of(run))):
                self._copy(replica, run, copy.complaint if copy else "")

    async def _note_release(self) -> None:
        live = await self._source.live()
        if live and self._live and live.id != self._live.id:
            self._board.mark(f"{live.release} takes over (deployment {live.id})")
        self._live = live

    async def _replicas(self) -> list[Replica]:
        """Those of the release that serves, and those that served before as long as they are there."""
        found = await self._source.replicas()
        names = {short(replica) for replica in found}
        for name in [name for name, copy in self._copies.items() if name not in names and not copy.is_at_work]:
            del self._copies[name]
            self._whole.discard(name)
            self._once.pop(name, None)
            self._board.known.pop(name, None)
        slot = self._live.slot if self._live else None
        return [replica for replica in found if replica.slot == slot or short(replica) in self._copies]

    async def _begin(self, replicas: Sequence[Replica]) -> None:
        """The last lines of each, before the first reader gets any."""
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_S):
                read = await asyncio.gather(*map(self._first, replicas), return_exceptions=True)
            for result in read:
                if isinstance(result, EngineUnavailable | StoreUnavailable):
                    raise result
        self._board.show()
        self._was_read = True
        self._board.wake()

    async def _first(self, replica: Replica) -> None:
        name, count = short(replica), 0
        after = After(self._board.known.get(name))
        self._unread.add(name)
        async with aclosing(self._source.lines(replica, tail=FIRST_LINES)) as lines:
            async for line in lines:
                self._add(name, after.takes(line))
                count += 1
        self._unread.discard(name)
        if count < FIRST_LINES:
            self._whole.add(name)

    def _copy(self, replica: Replica, run: object, complaint: str) -> None:
        copy = self._copies[short(replica)] = _Copy(run, complaint=complaint)
        copy.task = asyncio.create_task(self._follow(replica, copy), name=f"log of {replica.name}")

    async def _follow(self, replica: Replica, copy: _Copy) -> None:
        """One replica's log up to its end, or until Docker is gone; what was read before is not read again."""
        name = short(replica)
        place = self._board.known.get(name)
        after, begin, tail = After(place), since(place) if place else None, None if place else MOST_LINES
        if place is None and name in self._unread:
            tail = FIRST_LINES
        elif place is None:
            self._whole.add(name)
        try:
            async with aclosing(self._source.lines(replica, tail=tail, since=begin, follow=True)) as lines:
                async for line in lines:
                    self._add(name, after.takes(line))
            self._add(name, after.end())
            copy.has_all, copy.complaint = True, ""
        except (EngineUnavailable, StoreUnavailable, NotFound):  # it is looked at again
            pass
        except O8Error as trouble:
            if copy.complaint != trouble.message:
                copy.complaint = trouble.message
                self._board.mark(f"The log of {replica.name} cannot be read: {trouble}")

    def _add(self, name: str, lines: Sequence[Line]) -> None:
        once = self._once[name]
        for line in lines:
            if once.is_new(line.place):
                self._board.add(line)
