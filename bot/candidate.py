"""What runs: brings a candidate up, watches it, and takes releases out of service. Speaks to the engine."""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import UTC, datetime
from typing import Any

from bot import environment
from bot.configuration import Configuration
from bot.engines import Credentials, Engine, Replica, Workload
from bot.errors import CandidateFailed, EngineError, EngineUnavailable, O8Error, PullFailed
from bot.health import Prober
from bot.models import Deployment, Kind, Slot, other
from bot.outage import has_taken_all, runs_beside, with_engine
from bot.pruning import Pruner
from bot.run import Run, wait_for

PULL_LIMIT_S = 600.0
PULL_TRIES = 3
START_LIMIT_S = 60.0
FIRST_PROBE_S, SLOWEST_PROBE_S = 0.02, 1.0
PASSES = 2  # in a row
MISSES = 3  # in a row, while watched
LOG_LINES, LOG_BYTES = 200, 64 * 1024
KILLED = 128 + 9  # Docker's own word (OOMKilled) is lost when it comes after the container's end

_log = logging.getLogger(__name__)


class Candidates:
    def __init__(
        self, engine: Engine, pruner: Pruner, prober: Prober, credentials: Credentials, base_domain: str
    ) -> None:
        self._engine = engine
        self._pruner = pruner
        self._prober = prober
        self._credentials = credentials
        self._base_domain = base_domain

    async def pull(self, run: Run) -> dict[str, Any]:
        """The image is here. Raises `PullFailed`, `DiskFull`, `RegistryError`s; `Ended` when cancelled."""
        image, digest = run.deployment.image, run.deployment.digest
        give_up = time.monotonic() + PULL_LIMIT_S
        for attempt in range(1, PULL_TRIES + 1):
            try:
                is_new = await self._pruner.pull(
                    image, digest, run.name, self._credentials, run.progress,
                    lambda: run.cancelled.is_set() or time.monotonic() > give_up,
                )  # fmt: skip
                break
            except PullFailed as failure:
                run.stop_if_cancelled()
                if time.monotonic() > give_up:
                    raise PullFailed(f"Pulling {image} took longer than {PULL_LIMIT_S:.0f} s.") from failure
                if not failure.is_transient or attempt == PULL_TRIES:
                    raise
        run.stop_if_cancelled()
        return {"bytes": run.bytes_done} if is_new else {"is_cached": True}

    async def start(self, run: Run) -> dict[str, Any]:
        """The candidate runs in the free slot; a rollback takes the kept replicas of its release if they are there."""
        try:
            async with asyncio.timeout(START_LIMIT_S + run.deployment.configuration.stop_timeout):
                if run.deployment.kind is Kind.ROLLBACK and await self._are_kept(run):
                    await self._engine.resume(run.name, run.here)
                    return {"slot": run.here, "is_kept": True}
                await self._engine.start(_workload(run))
        except TimeoutError:
            raise EngineError(f"Docker did not start the candidate within {START_LIMIT_S:.0f} s.") from None
        return {"slot": run.here}

    async def check(self, run: Run) -> dict[str, Any]:
        """The candidate is healthy. Raises `CandidateFailed` with its last lines when it is not in time."""
        within = run.deployment.configuration.health.within
        give_up, delay, passes, probes = time.monotonic() + within, FIRST_PROBE_S, 0, 0
        while passes < PASSES:
            trouble = await self._trouble(run)
            passes, probes = (0 if trouble else passes + 1), probes + 1
            if not trouble:
                delay = FIRST_PROBE_S
            if trouble and time.monotonic() > give_up:
                raise await self._failed(run, f"Not healthy within {within} s: {trouble}.")
            if passes < PASSES:
                await run.pause(delay)
                delay = min(delay * 1.5, SLOWEST_PROBE_S)
        await self._engine.settle(run.name, run.here, run.deployment.configuration.restart)
        return {"probes": probes}

    async def watch(self, run: Run) -> dict[str, Any]:
        """It has lived for `watch` seconds, or a newer one is wanted. Raises `CandidateFailed` on its death."""
        switched_at = run.deployment.switched_at or datetime.now(UTC)
        until = switched_at.timestamp() + run.deployment.configuration.watch
        misses = 0
        while (left := until - time.time()) > 0:
            if await wait_for(run.newer, min(left, 1.0)):
                return {"is_cut_short": True}
            try:
                trouble = await self._trouble(run)
            except EngineError:  # both releases share that trouble, so there is nothing to return to
                await with_engine(lambda: self._outlive(run))
                trouble = ""
            misses = misses + 1 if trouble else 0
            if misses >= MISSES:
                raise await self._failed(run, f"Failed {MISSES} probes in a row: {trouble}.")
        return {}

    async def retire(self, run: Run) -> None:
        """The old release stops, and is kept for a quick rollback; images that no release needs go."""
        try:
            await self.take_down(run)
            await self._pruner.prune(run.name)
        except O8Error as trouble:
            _log.warning("%s: retiring the old release is left to the next check: %s", run.name, trouble)

    async def take_down(self, run: Run) -> None:
        """Stops what is in the other slot; it stays there, stopped."""
        timeout = (run.live or run.deployment).configuration.stop_timeout
        await self._engine.settle(run.name, other(run.here), "no")
        await self._engine.stop(run.name, other(run.here), timeout)

    async def bring_back(self, run: Run, live: Deployment) -> None:
        """The old release runs (again) in the other slot."""
        await self._engine.settle(run.name, other(run.here), live.configuration.restart)
        await self._engine.resume(run.name, other(run.here))

    async def when_back(self, run: Run, live: Deployment) -> None:
        """The old release, brought back, answers; or it takes too long, then visitors get what there is."""
        give_up, delay = time.monotonic() + live.configuration.health.within, FIRST_PROBE_S
        while await self._unready(run, other(run.here), live.configuration) and time.monotonic() < give_up:
            await asyncio.sleep(delay)
            delay = min(delay * 1.5, SLOWEST_PROBE_S)

    async def stop(self, run: Run) -> None:
        """Stops the candidate, gently."""
        await self._engine.stop(run.name, run.here, run.deployment.configuration.stop_timeout)

    async def clear(self, run: Run) -> None:
        """Removes the candidate."""
        await self._engine.clear(run.name, run.here)

    async def when_engine_answers(self) -> None:
        """Waits for the engine, at most five minutes; then raises `EngineUnavailable`."""
        await with_engine(self._engine.facts)

    async def _outlive(self, run: Run) -> None:
        """The engine went away and perhaps took both releases along: they run again, and the new one is healthy."""
        try:
            if runs_beside(run):
                await self._engine.resume(run.name, other(run.here))
            await self._engine.resume(run.name, run.here)
        except EngineError as refusal:  # they ran before, so it is still going away
            raise EngineUnavailable(refusal.message, refusal.next_step) from refusal
        await self.check(run)

    async def _trouble(self, run: Run) -> str:
        """Why the replicas may not serve; empty when all may. Raises `CandidateFailed` when one is dead.

        `EngineUnavailable` when the engine has died, even if it was so quick that only its victims show it.
        """
        configuration = run.deployment.configuration
        found = await self._engine.observe(run.name)
        replicas = [r for r in found if r.slot == run.here]
        for replica in replicas:
            if death := _death(replica):
                if has_taken_all(run, found):
                    raise EngineUnavailable(f"Docker was restarted and took all containers of {run.name} along.")
                raise await self._failed(run, death, replica)
        if len(replicas) < configuration.replicas:
            raise await self._failed(run, f"Only {len(replicas)} of {configuration.replicas} replicas are there.")
        return await self._unready(run, run.here, configuration)

    async def _unready(self, run: Run, slot: Slot, configuration: Configuration) -> str:
        """What the health check says against the replicas in `slot`; empty when all pass."""
        if configuration.health.kind == "image":
            replicas = [r for r in await self._engine.observe(run.name) if r.slot == slot]
            return next((f"{r.name} is {_in_words(r.health)}" for r in replicas if r.health != "healthy"), "")
        host = configuration.domains[0] if configuration.domains else self._default_host(run.name)
        addresses = self._engine.addresses(run.service.block, slot, configuration.replicas, configuration.port)
        answers = await asyncio.gather(*(self._prober.probe(a, configuration.health, host) for a in addresses))
        return next((answer for answer in answers if answer), "")

    def _default_host(self, service: str) -> str:
        return f"{service}.{self._base_domain}" if self._base_domain else ""

    async def _failed(self, run: Run, why: str, replica: Replica | None = None) -> CandidateFailed:
        return CandidateFailed(
            f"{run.deployment.release} did not stay healthy. {why}" if run.has_switched else why,
            f"`o8 deployments {run.deployment.id}` shows its last lines.",
            log=await self._last_lines(run), exit_code=replica.exit_code if replica else None,
        )  # fmt: skip

    async def _last_lines(self, run: Run) -> str:
        """Last lines of the candidate, secrets masked; a note instead when the engine cannot give them.

        Raises `EngineUnavailable`: the engine that is ending ends its containers, and that is no fault of theirs.
        """
        lines: list[bytes] = []
        try:
            for replica in await self._engine.observe(run.name):
                if replica.slot == run.here:
                    log = self._engine.log(replica.id, tail=LOG_LINES, since=None, follow=False, timestamps=False)
                    lines += [line async for line in log]
        except EngineUnavailable:
            raise
        except EngineError as trouble:
            lines.append(f"(no more lines: {trouble.message})".encode())
        text = b"\n".join(line.rstrip(b"\r\n") for line in lines[-LOG_LINES:])[-LOG_BYTES:]
        return environment.mask(text.decode(errors="replace"), run.environment.values())

    async def _are_kept(self, run: Run) -> bool:
        """Whether the free slot still holds the replicas of the release to return to."""
        found = [r for r in await self._engine.observe(run.name) if r.slot == run.here]
        of_target = all(r.deployment == run.deployment.target for r in found)
        return of_target and len(found) == run.deployment.configuration.replicas


def _workload(run: Run) -> Workload:
    deployment = run.deployment
    return Workload(
        service=run.name, block=run.service.block, slot=run.here, deployment=deployment.target or deployment.id,
        image=deployment.image, digest=deployment.digest, configuration=deployment.configuration,
        environment=run.environment,
    )  # fmt: skip


def _death(replica: Replica) -> str:
    """How a replica died, as a sentence; empty while it lives."""
    if replica.is_oom_killed:
        return f"{replica.name} was killed: it needed more memory than its limit."
    if replica.state in ("exited", "dead") and replica.exit_code == KILLED:
        return f"{replica.name} was killed, most likely because it needed more memory than its limit."
    if replica.state in ("exited", "dead"):
        return f"{replica.name} exited with code {replica.exit_code}."
    if replica.restarts or replica.state == "restarting":
        return f"{replica.name} exited and was restarted by Docker."
    return ""


def _in_words(health: str) -> str:
    return "without a HEALTHCHECK in its image" if health == "none" else health
