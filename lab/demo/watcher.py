"""Follows deployments over o8's API and shows each state as it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import aiohttp

from lab.demo.screen import Screen
from lab.house import ENDINGS, House, Refused
from lab.load import Report

POLL_S = 0.05
LIMIT_S = 60.0
_WORDS = {
    "resolving": "the registry says which image this tag is",
    "pulling": "that very image is here",
    "starting": "a new container runs beside the old one",
    "checking": "it answers its health check",
    "switching": "nginx sends it every new request",
    "draining": "what was open at the old one has ended",
    "watching": "it lived while the old one stood by",
}
_Record = dict[str, Any]


class Watcher:
    """`report` gives the visitors' count, for the live line."""

    def __init__(self, house: House, service: str, screen: Screen, report: Callable[[], Report]) -> None:
        self._house = house
        self._service = service
        self._screen = screen
        self._report = report
        self._shown: set[tuple[str, str]] = set()  # state and start: a killed o8 goes through some states again
        self._last = 0

    async def follow(self, id: int, states: Sequence[str] = ()) -> _Record:
        """The deployment at one of `states` or at its ending; raises `TimeoutError` after a minute."""
        async with asyncio.timeout(LIMIT_S):
            while True:
                found: _Record = await self._house.get(f"/deployments/{id}")
                self._show(found)
                if found["state"] in (*ENDINGS, *states):
                    break
                await asyncio.sleep(POLL_S)
        if found["state"] in ENDINGS:
            self._screen.ending(found["state"], found["error"])
            self._last = max(self._last, id)
        return found

    async def newest(self, tag: str, after: int = 0) -> _Record:
        """The newest deployment once it is one of `tag`, younger than the one with the id `after`."""

        async def look() -> _Record:
            found = await self._house.newest(self._service)
            return found if found and found["tag"] == tag and found["id"] > after else {}

        return dict(await self._house.until(look, 10))

    async def follow_all(self) -> None:
        """Endless: every deployment from here on."""
        while True:
            try:
                newest = await self._house.newest(self._service)
                if newest and newest["id"] > self._last:
                    self._screen.title(f"{newest['kind']} of {newest['release']}, asked by {newest['actor']}")
                    await self.follow(newest["id"])
            except (aiohttp.ClientError, OSError, Refused, TimeoutError):
                pass  # somebody stopped o8 or removed the service; it may come back
            self._live("idle")
            await asyncio.sleep(0.2)

    def _show(self, found: _Record) -> None:
        """Steps that have ended since the last look."""
        has_failed = found["state"] == "failed"
        for index, step in enumerate(found["steps"]):
            key = (step["state"], step["started_at"])
            if step["ended_at"] and key not in self._shown:
                self._shown.add(key)
                is_the_bad_one = has_failed and index == len(found["steps"]) - 1
                self._screen.step(step, _in_words(step, is_the_bad_one), has_failed=is_the_bad_one)
        self._live(f"{found['release']} is {found['state']}")

    def _live(self, what: str) -> None:
        report = self._report()
        self._screen.live(f"{what}  |  visitors: {report.requests:,} requests, {report.failed:,} failed")


def _in_words(step: _Record, has_failed: bool) -> str:
    if has_failed:
        return "failed"
    detail, words = step["detail"], _WORDS[step["state"]]
    if detail.get("is_kept"):
        return "its container was kept, and runs again"
    if step["state"] == "checking":
        return f"{words} ({detail['probes']} probes)" if "probes" in detail else "was cut off when o8 died"
    if left := detail.get("connections_left"):
        return f"only {left} long-lived connections are left there; they get a goodbye"
    if "has_reloaded" in detail:
        return words + (" (after one reload, for the new site)" if detail["has_reloaded"] else " (no reload)")
    return words
