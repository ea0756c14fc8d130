"""Names of people and times in replies, as plain text."""

from __future__ import annotations

from datetime import UTC, datetime

from bot.accounts import in_words
from bot.authority import Authority
from bot.chat import lasting
from bot.errors import Forbidden


async def person(authority: Authority, actor: str) -> str:
    """Who an actor is, for people: the username behind `slack:T1:U1`; `a push`, `root on the server`."""
    kind = actor.partition(":")[0]
    if kind not in ("slack", "user", "token"):
        return in_words(actor)
    try:
        username = (await authority.who(actor)).username
        return f"{username} by {in_words(actor)}" if kind == "token" else username
    except Forbidden:  # they were removed since
        return in_words(actor)


def channel(name: str) -> str:
    """`#deployments`; one that is known by its id as `#C0123ABCDEF`, which Slack shows by its name."""
    return f"#{name.removeprefix('#')}"


def when(at: datetime) -> str:
    """`14:05 UTC` of today, else with the date."""
    at = at.astimezone(UTC)
    return f"{at:%H:%M} UTC" if at.date() == datetime.now(UTC).date() else f"{at:%Y-%m-%d %H:%M} UTC"


def ago(at: datetime) -> str:
    """How long ago: `5 min`."""
    return lasting(at, datetime.now(UTC))
