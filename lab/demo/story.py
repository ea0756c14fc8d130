"""The five acts. Each plays on the real o8 and is believed only when the visitors' own count agrees."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import aiohttp

from lab import github
from lab.demo.channel import Channel
from lab.demo.commands import run
from lab.demo.push import Team
from lab.demo.screen import Screen, Seen, seconds_between
from lab.demo.watcher import Watcher
from lab.house import House, Refused
from lab.load import LoadProcess
from lab.waiting import until

TIMES = {"watch": 1, "drain_timeout": 4}  # seconds; WebSockets hold the drain as long as it may last
PATIENCE_S = 5.0
ENOUGH = 200  # requests that visitors make while o8 is dead


class NotSeen(Exception):
    """An act did not go as it should; the text says what was seen instead."""


_TROUBLES = (NotSeen, Refused, RuntimeError, TimeoutError, aiohttp.ClientError)  # of o8, Docker and the registry


class Story:
    """`service` with `host` is what is deployed; `load` are its visitors, not yet started."""

    def __init__(
        self, house: House, channel: Channel, service: str, host: str, screen: Screen, load: LoadProcess
    ) -> None:
        self._house = house
        self._channel = channel
        self._screen = screen
        self._load = load
        self._service = service
        self._host = host
        self._team = Team.of(house, service)
        self._watcher = Watcher(house, service, screen, lambda: load.report)

    @property
    def acts(self) -> Sequence[tuple[str, Callable[[], Awaitable[str]]]]:
        return (
            ("0001 goes live with the first push", self._first),
            ("0002 takes over", self._second),
            ("0003 is broken and refused", self._broken),
            ("Rollback to 0001, asked for in Slack", self._rollback),
            ("o8 is killed while it deploys 0004", self._kill),
        )

    async def play(self) -> list[Seen]:
        """What was seen of every act. One that fails is the last, as each builds on the one before."""
        seen = []
        for number, (name, act) in enumerate(self.acts, 1):
            self._screen.title(f"{number}. {name}")
            try:
                seen.append(Seen(name, True, await act()))
            except _TROUBLES as trouble:
                what, *log = str(trouble).splitlines() or ["no answer in time"]
                self._screen.quote("\n".join(log))
                seen.append(Seen(name, False, what))
                break
        return seen + [Seen(name, False, "not reached") for name, _ in self.acts[len(seen) :]]

    async def go_on(self) -> None:
        """Endless: shows what the watcher's own commands set off."""
        await self._watcher.follow_all()

    async def _first(self) -> str:
        self._screen.say(f"A service file says: follow the numbered tags of {self._team.image}, serve {self._host}.")
        await self._house.apply(self._service, domains=[self._host], **TIMES)
        found = await self._deploy("0001")
        self._expect(found, "succeeded")
        await self._load.start()
        self._screen.say("Visitors come: keep-alive GET and POST, 2-second requests, new connections, WebSockets.")
        await self._answered_by("0001")
        await self._channel_shows("0001", "is live")
        return f"{_time_to_live(found):.2f} s from delivery to serving"

    async def _second(self) -> str:
        await self._forge()
        before = self._load.report.requests
        found = await self._deploy("0002")
        self._expect(found, "succeeded")
        await self._answered_by("0002")
        return f"serving after {_time_to_live(found):.2f} s; {self._unharmed(before)}"

    async def _broken(self) -> str:
        before = self._load.report.requests
        found = await self._deploy("0003", fault="exit1")
        self._expect(found, "failed")
        self._screen.say(f"Why: {found['error']} Its last lines are kept:")
        self._screen.quote(found["log"])
        await self._answered_by("0002")
        if "0003" in self._load.report.versions:
            raise NotSeen("0003 answered visitors")
        await self._channel_shows("0003", "failed")
        return f"{found['error']} Answered no visitor; {self._unharmed(before)}"

    async def _rollback(self) -> str:
        before = self._load.report.requests
        await self._in_slack(f"rollback {self._service} --yes -- 0002 looks wrong")
        found = await self._watcher.follow((await self._house.newest(self._service))["id"])
        self._expect(found, "succeeded")
        await self._answered_by("0001")
        if not (await self._house.get(f"/services/{self._service}"))["hold"]:
            raise NotSeen("no hold was set")
        self._screen.say("A hold is set, so that the next push does not undo the rollback.")
        await self._channel_shows("0001", "is live", "0002 looks wrong")
        return f"serving after {_time_to_live(found):.2f} s, hold set; {self._unharmed(before)}"

    async def _kill(self) -> str:
        await self._push("0004", fault="listens_after=2")
        held = await self._watcher.newest("0004")
        self._expect(held, "held")
        self._screen.say("0004 is recorded, but held. Somebody lifts the hold:")
        await self._command("resume", self._service)
        id = (await self._watcher.newest("0004", after=held["id"]))["id"]
        await self._watcher.follow(id, ("checking",))
        before, died = self._load.report.requests, time.monotonic()
        self._house.kill()
        self._screen.ending("SIGKILL", "o8 is dead, 0004 half deployed. The sites need no o8 to serve:")
        count = await self._visited_since(before)
        self._screen.say(f"  {count:,} requests answered without it. Now o8 starts again and finds what it left:")
        await self._house.start()
        gone_s = time.monotonic() - died
        found = await self._watcher.follow(id)
        self._expect(found, "succeeded")
        await self._answered_by("0004")
        return f"o8 was gone for {gone_s:.1f} s, then finished 0004; {self._unharmed(before)}"

    async def _deploy(self, tag: str, fault: str = "") -> dict[str, Any]:
        await self._push(tag, fault)
        return await self._watcher.follow((await self._watcher.newest(tag))["id"])

    async def _push(self, tag: str, fault: str = "") -> None:
        kind = f"a broken image ({fault})" if fault == "exit1" else "an image"
        self._screen.say(f"The team pushes {kind} as {tag}; GitHub signs a delivery and sends it.")
        answer = await self._team.push(tag, fault)
        self._screen.say(f"o8 answers {answer.status}: written down for {', '.join(answer.body['accepted']) or '-'}.")

    async def _forge(self) -> None:
        body = github.push(self._team.image, "9999")
        answer = await github.deliver(self._team.webhook, "not-the-secret-at-all", body)
        if answer.status != 401:
            raise NotSeen(f"a forged delivery got {answer.status}")
        self._screen.say("A stranger sends a delivery for 9999 with another secret: 401, nothing happens.")

    async def _command(self, *arguments: str) -> None:
        self._screen.command(" ".join(("o8", *arguments)))
        self._screen.quote(await run(self._house.data, *arguments))

    async def _in_slack(self, text: str) -> None:
        self._screen.command(f"/o8 {text}")
        self._screen.quote(await self._channel.says(text))

    async def _channel_shows(self, *words: str) -> None:
        """Slack's card of the deployment, once it says so."""
        try:
            card = await self._channel.card(self._service, *words)
        except TimeoutError:
            raise NotSeen(f"no card in Slack says {', '.join(words)}") from None
        self._screen.say("Its card in #deployments:")
        self._screen.quote(card)

    def _expect(self, found: dict[str, Any], state: str) -> None:
        if found["state"] != state:
            raise NotSeen(f"{found['release']} ended {found['state']}. {found['error']}".strip())

    async def _answered_by(self, version: str) -> None:
        """Every visitor is answered by `version` from now on."""
        now = time.time()

        async def is_so() -> bool:
            seen = self._load.report.versions.get(version)
            return seen is not None and seen.last > now

        try:
            await until(is_so, PATIENCE_S)
        except TimeoutError:
            raise NotSeen(f"no visitor was answered by {version}: {self._reasons()}") from None
        self._screen.say(f"Visitors are answered by {version}.")

    async def _visited_since(self, before: int) -> int:
        async def count() -> int:
            return max(0, self._load.report.requests - before - ENOUGH)

        return await until(count, PATIENCE_S) + ENOUGH

    def _unharmed(self, before: int) -> str:
        """How many requests ended since there were `before`. Raises `NotSeen` when one ever failed."""
        report = self._load.report
        if report.failed:
            raise NotSeen(f"{report.failed:,} of {report.requests:,} requests failed: {self._reasons()}")
        return f"{report.requests - before:,} requests meanwhile, 0 failed"

    def _reasons(self) -> str:
        return ", ".join(f"{count} x {reason}" for reason, count in self._load.report.reasons.items()) or "none came"


def _time_to_live(found: dict[str, Any]) -> float:
    return seconds_between(found["created_at"], found["switched_at"])
