"""In what order: the story of a deployment, as docs/architecture.md draws it.

Until the flag is set nothing old is touched, so any failure is undone by removing the candidate. Once it is set
nothing can fail the deployment but its own death while it is watched, and that sets the flag back.
To add a step: a `State`, its place in `BRING_UP` or `SETTLE`, and a method of that name here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from bot.candidate import Candidates
from bot.errors import CandidateFailed, EngineUnavailable, O8Error, StoreUnavailable
from bot.models import AFTER_SWITCH, Deployment, State, other
from bot.outage import with_engine
from bot.resolver import Resolver
from bot.run import Ended, Moment, Run
from bot.store import Store
from bot.traffic import Traffic

BRING_UP = (State.RESOLVING, State.PULLING, State.STARTING, State.CHECKING, State.SWITCHING)
SETTLE = (State.DRAINING, State.WATCHING)
STEPS = BRING_UP + SETTLE
MAX_ATTEMPTS = 3  # starts of one deployment, each after a kill of o8 or a loss of the engine

Checkpoint = Callable[[State, Moment], None]
T = TypeVar("T")
_log = logging.getLogger(__name__)


class Deployer:
    """Takes a claimed deployment to its ending. Never raises for what went wrong with the deployment itself."""

    def __init__(
        self, store: Store, resolver: Resolver, candidates: Candidates, traffic: Traffic, checkpoint: Checkpoint
    ) -> None:
        """`checkpoint` is called at every moment of every step; tests end the process there."""
        self._store = store
        self._resolver = resolver
        self._candidates = candidates
        self._traffic = traffic
        self._checkpoint = checkpoint

    async def bring_up(self, run: Run) -> None:
        """From the tag to the switch. Afterwards `run.has_switched`, or it has ended, or is queued again."""
        try:
            for state in BRING_UP:
                run.stop_if_cancelled()
                await self._perform(run, state)
        except EngineUnavailable as failure:
            await self._start_over(run, failure)
        except O8Error as failure:
            await self._undo(run, failure)

    async def settle(self, run: Run) -> None:
        """From the switch to the ending."""
        try:
            for state in SETTLE:
                await self._perform(run, state)
        except CandidateFailed as death:
            await self._return(run, death)
            return
        await self._end(run, State.SUCCEEDED)
        if not run.newer.is_set():  # a newer one wants the old slot at once, perhaps still running
            await self._candidates.retire(run)

    async def pick_up(self, run: Run) -> None:
        """Goes on with what a killed o8 left: what the flag says decides. Then as after `bring_up`."""
        run.slot = run.deployment.slot
        if run.slot is not None and self._traffic.serving(run.name) == run.slot:
            await self._traffic.switch(run)
            await self._persist(lambda: self._store.switched(run.deployment.id))
            run.has_switched = True
        elif run.deployment.state in AFTER_SWITCH:
            await self._return(run, CandidateFailed("o8 was stopped while it returned to the release before."))
        else:
            await self._start_over(run, O8Error("o8 was stopped while this deployment ran."))

    async def _perform(self, run: Run, state: State) -> None:
        """One step: intent on disk, effect, result on disk. A kill between any two of them is recovered from."""
        id = run.deployment.id
        if state is State.STARTING:
            run.slot = other(self._traffic.serving(run.name))
        await self._persist(lambda: self._store.enter(id, state, run.slot))
        _log.info("%s %s: %s", run.name, run.deployment.release, state)
        self._checkpoint(state, Moment.BEFORE_EFFECT)
        detail = await self._effect(run, state)
        self._checkpoint(state, Moment.AFTER_EFFECT)
        has_switched = state is State.SWITCHING
        await self._persist(lambda: self._store.leave(id, detail, has_switched=has_switched))
        run.has_switched |= has_switched
        run.deployment = run.deployment.model_copy(update={k: detail[k] for k in ("tag", "digest") if k in detail})
        self._checkpoint(state, Moment.AFTER_COMMIT)

    async def _effect(self, run: Run, state: State) -> dict[str, Any]:
        effects: dict[State, Callable[[Run], Awaitable[dict[str, Any]]]] = {
            State.RESOLVING: self._resolver.resolve,
            State.PULLING: self._candidates.pull,
            State.STARTING: self._start,
            State.CHECKING: self._candidates.check,
            State.SWITCHING: self._traffic.switch,
            State.DRAINING: self._traffic.drain,
            State.WATCHING: self._candidates.watch,
        }
        return await effects[state](run)

    async def _start(self, run: Run) -> dict[str, Any]:
        """`recreate` takes the old release down first, with the maintenance page in front."""
        if _recreates(run):
            await self._traffic.close(run)
            await self._candidates.take_down(run)
        return await self._candidates.start(run)

    async def _discard(self, run: Run) -> None:
        """Removes the candidate; visitors keep the old release, its site and its slot."""
        if run.slot is None:
            return
        await self._traffic.keep(run)
        await self._candidates.clear(run)
        if _recreates(run) and run.live and not run.service.is_stopped:
            await self._candidates.bring_back(run, run.live)
            await self._candidates.when_back(run, run.live)
            await self._traffic.open(run)

    async def _give_back(self, run: Run, live: Deployment) -> None:
        """The flag first: the old release still runs. After `recreate` it has to start again before that."""
        if _recreates(run):
            await self._traffic.close(run)
            await self._candidates.stop(run)
            await self._candidates.bring_back(run, live)
            await self._candidates.when_back(run, live)
        await self._traffic.give_back(run)
        await self._candidates.bring_back(run, live)
        await self._traffic.open(run)

    async def _undo(self, run: Run, failure: O8Error) -> None:
        """Nothing changed for visitors: the candidate goes, the old release never stopped serving."""
        try:
            await self._discard(run)
        except EngineUnavailable:
            await self._start_over(run, failure)  # very likely the failure was the engine's end already
            return
        except O8Error as trouble:
            serving = run.live.release if run.live else "nothing"
            await self._end(run, State.NEEDS_ATTENTION, O8Error(
                f"{failure} Cleaning up failed too: {trouble} {serving} is what {run.name} should be serving.",
                "`o8 doctor` shows what is wrong; then deploy again."))  # fmt: skip
            return
        await self._end(run, _ending(failure), failure)

    async def _start_over(self, run: Run, failure: O8Error) -> None:
        """The engine or o8 itself was gone: back to the queue, unless that has happened too often."""
        try:
            await self._candidates.when_engine_answers()
            await with_engine(lambda: self._discard(run))
            run.stop_if_cancelled()
        except O8Error as trouble:
            await self._end(run, _ending(trouble), trouble)
            return
        if run.deployment.attempts >= MAX_ATTEMPTS:
            await self._end(run, State.FAILED, failure)
        else:
            await self._persist(lambda: self._store.requeue(run.deployment.id))

    async def _return(self, run: Run, death: CandidateFailed) -> None:
        """The new release died while it was watched: the old one, still running, serves again."""
        if run.live is None:
            await self._end(run, State.NEEDS_ATTENTION, CandidateFailed(
                f"{death.message} No earlier release exists; {run.deployment.release} is what nginx points to.",
                "Deploy one that works, or `o8 stop` it.", log=death.log, exit_code=death.exit_code))  # fmt: skip
            return
        live = run.live
        try:
            await with_engine(lambda: self._give_back(run, live))
        except O8Error as trouble:
            await self._end(run, State.NEEDS_ATTENTION, O8Error(
                f"{death.message} Returning to {live.release} failed: {trouble}",
                f"{run.name} serves slot {self._traffic.serving(run.name)}; look there first."))  # fmt: skip
            return
        await self._end(run, State.ROLLED_BACK, death)
        try:
            await self._candidates.clear(run)
        except O8Error as trouble:
            _log.warning("%s: removing the returned release is left to the next check: %s", run.name, trouble)

    async def _end(self, run: Run, ending: State, failure: O8Error | None = None) -> None:
        facts: dict[str, Any] = {}
        if failure is not None:
            facts = {"error_code": failure.code, "error": failure.message, "next_step": failure.next_step}
        if isinstance(failure, CandidateFailed):
            facts |= {"log": failure.log, "exit_code": failure.exit_code}
        id = run.deployment.id
        run.deployment = await self._persist(lambda: self._store.finish(id, ending, **facts))
        _log.info("%s %s: %s %s", run.name, run.deployment.release, ending, failure or "")

    async def _persist(self, write: Callable[[], Awaitable[T]]) -> T:
        """Writes, however long SQLite is busy or the disk is full: no step goes on without its record."""
        delay = 0.1
        while True:
            try:
                return await write()
            except StoreUnavailable as trouble:
                _log.warning("Deployment waits for the database: %s", trouble)
                await asyncio.sleep(delay)
                delay = min(delay * 2, 5.0)


def _ending(failure: O8Error) -> State:
    return failure.ending if isinstance(failure, Ended) else State.FAILED


def _recreates(run: Run) -> bool:
    return run.deployment.configuration.strategy == "recreate" and run.live is not None
