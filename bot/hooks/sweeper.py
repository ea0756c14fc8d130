"""Deliveries that GitHub could not deliver while o8 was away: asked for again. GitHub never does by itself.

https://docs.github.com/en/webhooks/using-webhooks/handling-failed-webhook-deliveries
"""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import UTC, datetime, timedelta

from bot.errors import GitHubRefused, GitHubUnavailable, NotFound, O8Error
from bot.findings import Finding, ok, warning
from bot.github.hooks import APP, Hooks, Sent, is_same_address
from bot.hooks.places import Place, Places
from bot.hooks.reasons import remedy
from bot.store import Store

KEPT = timedelta(days=3)  # GitHub redelivers nothing that is older
INTERVAL_S, LONGEST_PAUSE_S, DAY_S, HOUR_S = 300.0, 3600.0, 86400.0, 3600.0
EVENTS = ("package", "registry_package")
# How old the last try must be, after so many: what fails again and again fails for a reason, which takes time to mend.
PATIENCE = tuple(timedelta(minutes=minutes) for minutes in (0, 4, 30, 120, 480))
# https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api#pause-between-mutative-requests
BETWEEN_S = 1.0
_log = logging.getLogger(__name__)


class Sweeper:
    def __init__(self, store: Store, places: Places, between_s: float = BETWEEN_S) -> None:
        """`between_s`: seconds between two deliveries that are asked for."""
        self._store = store
        self._places = places
        self.between_s = between_s
        self._ours: dict[str, tuple[float, list[str]]] = {}  # place -> when it was asked, paths of hooks that are ours
        self._refused: dict[str, tuple[float, str]] = {}  # place -> when that was, what it would need
        self._given_up: set[str] = set()
        self._looked_at: datetime | None = None
        self._trouble = ""

    async def run(self) -> None:
        """Endless."""
        while True:
            pause = INTERVAL_S
            try:
                await self.sweep()
                self._trouble = ""
            except O8Error as trouble:
                is_known = str(trouble) == self._trouble
                _log.log(logging.DEBUG if is_known else logging.WARNING, "Missed deliveries are not found: %s", trouble)
                self._trouble = str(trouble)
                wish = trouble.retry_after if isinstance(trouble, GitHubUnavailable) else 0
                pause = min(max(wish, INTERVAL_S), LONGEST_PAUSE_S)
            await asyncio.sleep(pause)

    async def sweep(self) -> int:
        """How many deliveries were asked for again. Raises `GitHubUnavailable` when GitHub's limit is used up."""
        count = 0
        for place in await self._places.all():
            if _is_fresh(self._refused.get(place.name, (-DAY_S, ""))[0]):
                continue
            try:
                for path in await self._paths(place):
                    count += await self._sweep(place.hooks, path)
            except GitHubRefused as refusal:
                self._note(place, refusal)
        self._looked_at = datetime.now(UTC)
        return count

    def finding(self) -> Finding:
        """For `o8 doctor`."""
        subject = "missed deliveries"
        if self._trouble:
            return warning(subject, f"GitHub cannot be asked for them: {self._trouble}", "Polling finds what is new.")
        refused = [what for at, what in self._refused.values() if _is_fresh(at)]
        ours = sum(len(paths) for _, paths in self._ours.values())
        if refused and not ours:
            more = f" And {len(refused) - 1} places more." if len(refused) > 1 else ""
            return warning(subject, f"Only polling finds them. {refused[0]}{more}",
                           "Give it that right, then restart o8; or leave it to polling.")  # fmt: skip
        if self._looked_at is None:
            return ok(subject, f"Polling finds them{self._why_not()}.")
        if not ours:
            return ok(
                subject, "Polling finds them: no webhook at GitHub delivers to this o8. `o8 github check` says more."
            )
        webhooks = f"{ours} webhook{'' if ours == 1 else 's'}"
        return ok(subject, f"Those of {webhooks} were last looked for at {self._looked_at:%H:%M} UTC.")

    def _why_not(self) -> str:
        if not self._places.app and not self._places.person:
            return ": GitHub is not asked, as neither GITHUB_PAT nor an App is set"
        if not self._places.app and not self._places.url:
            return ": GitHub is not asked, as PUBLIC_URL is not set"
        return "; GitHub was not asked yet"

    async def _paths(self, place: Place) -> list[str]:
        """Of the hooks at `place` that deliver to this o8."""
        at, known = self._ours.get(place.name, (-HOUR_S, []))
        if time.monotonic() - at < HOUR_S:
            return known
        if place.name == APP:
            found = ["/app/hook"]
        else:
            found = [
                hook.path for hook in await place.hooks.of(place.name) if is_same_address(hook.url, self._places.url)
            ]
        self._ours[place.name] = (time.monotonic(), found)
        return found

    async def _sweep(self, hooks: Hooks, path: str) -> int:
        tries: dict[str, list[Sent]] = {}
        async for sent in hooks.deliveries(path, datetime.now(UTC) - KEPT):
            if sent.event in EVENTS:
                tries.setdefault(sent.guid, []).append(sent)
        missed = [all_tries for guid, all_tries in tries.items() if await self._is_missed(guid, all_tries)]
        for number, all_tries in enumerate(
            sorted(missed, key=lambda each: (each[-1].at, each[-1].id))
        ):  # as they were sent at first
            if number:
                await asyncio.sleep(self.between_s)
            await self._ask_for(hooks, path, all_tries[0])
        return len(missed)

    async def _ask_for(self, hooks: Hooks, path: str, last: Sent) -> None:
        _log.info("Delivery %s did not arrive (%s, %s); it is asked for again", last.guid, last.status, last.at)
        try:
            await hooks.redeliver(path, last.id)
        except GitHubRefused as refusal:  # of this one alone, or who may read may not write
            self._given_up.add(last.guid)
            _log.warning("Delivery %s cannot be had again: %s", last.guid, refusal)

    async def _is_missed(self, guid: str, tries: list[Sent]) -> bool:
        """`tries`: the newest first."""
        if guid in self._given_up or len(tries) > len(PATIENCE):
            return False
        if datetime.now(UTC) - tries[0].at < PATIENCE[len(tries) - 1]:
            return False
        try:
            return (await self._store.delivery(guid)).verdict == "failed"
        except NotFound:
            # One of the same content under another id is not kept, but was answered.
            return not any(sent.has_arrived for sent in tries)

    def _note(self, place: Place, refusal: GitHubRefused) -> None:
        """A line a day for organizations, and one for repositories: without the right, polling does it."""
        kind = place.name.partition("/")[0]
        is_told = any(name.startswith(kind) and _is_fresh(at) for name, (at, _) in self._refused.items())
        self._ours.pop(place.name, None)
        self._refused[place.name] = (time.monotonic(), remedy(place.name, refusal))
        _log.log(logging.DEBUG if is_told else logging.WARNING, "Missed deliveries of %s are left to polling: %s %s",
                 place.name, refusal.message, remedy(place.name, refusal))  # fmt: skip


def _is_fresh(at: float) -> bool:
    """Whether a refusal of that time still counts."""
    return time.monotonic() - at < DAY_S
