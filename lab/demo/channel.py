"""The demo's Slack: a workspace that stands in for it, ada who is admin there, and what the channel shows."""

from __future__ import annotations

from lab.demo.commands import run
from lab.house import House
from lab.slack import FakeSlack, SlackDriver, SlackMessage, screen
from lab.waiting import until

CHANNEL = "deployments"
PATIENCE_S = 20.0  # Slack takes one message a second, and a card is edited every three


class Channel:
    """`await Channel(house, slack).open()` first: then ada may do everything."""

    def __init__(self, house: House, slack: FakeSlack) -> None:
        self._house = house
        self._slack = slack
        self._driver = SlackDriver(slack, f"http://127.0.0.1:{house.port}")
        self._ada = slack.add_user("ada")

    async def open(self) -> None:
        await run(self._house.data, "slack", "admin", self._ada, "--as", "ada", "--team", self._slack.team)

    async def says(self, text: str) -> str:
        """What ada is answered to a slash command."""
        before = len(self._slack.ephemerals(self._ada))
        answer = await self._driver.command(self._ada, "/o8", text, CHANNEL)
        if answer.body:
            return screen.as_text(answer.message)

        async def look() -> list[SlackMessage]:
            return self._slack.ephemerals(self._ada)[before:]

        return self._named("\n".join(map(screen.as_text, await until(look, PATIENCE_S))))

    async def card(self, *words: str) -> str:
        """The card that says all of `words`, as text; raises `TimeoutError` when none does in time."""

        async def look() -> list[SlackMessage]:
            cards = [m for m in self._slack.messages(CHANNEL) if not m.thread_ts]
            return [m for m in cards if all(word in screen.as_text(m) for word in words)]

        return self._named(screen.as_text((await until(look, PATIENCE_S))[-1]))

    def _named(self, text: str) -> str:
        return text.replace(f"<@{self._ada}>", "@ada")
