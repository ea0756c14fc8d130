"""What a verb works with: who asks, from where, and through what."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Protocol

from bot.chat import Place
from bot.permissions import Action, Person
from bot.services import Services
from handlers.commands import Commands


class Stage(Protocol):
    """What only the chat itself can do for a verb."""

    async def follow(self, lines: AsyncGenerator[str, None], title: str, seconds: float) -> None:
        """Shows lines in a thread as they come, for so long, then closes them; returns when the thread is begun."""

    async def name_of(self, slack_user: str) -> str:
        """How somebody is called in Slack, as a username of o8 could be: `ada`, `grace-hopper`."""

    async def tell(self, slack_user: str, text: str) -> None:
        """A direct message to one person."""


@dataclass(frozen=True)
class Talk:
    """Writes go through `commands`, which checks rights again; `services` is for questions."""

    services: Services
    commands: Commands
    person: Person
    place: Place
    stage: Stage

    def may(self, action: Action, service: str = "") -> bool:
        return self.person.may(action, service)

    async def seen(self) -> tuple[str, ...]:
        """Names of the services that this person may see."""
        return await self.services.authority.seen_by(self.person)
