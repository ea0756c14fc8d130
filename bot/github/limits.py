"""What is left of an hour's requests. https://docs.github.com/en/rest/rate-limit/rate-limit"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

from bot.errors import GitHubError
from bot.github.login import Login
from bot.github.transport import GitHub


class Limit(NamedTuple):
    """`most` requests in an hour, of which `remaining` are left until `resets_at`. `scopes`: see `Answer`."""

    most: int
    remaining: int
    resets_at: datetime
    scopes: frozenset[str] | None


async def limit(github: GitHub, login: Login) -> Limit:
    """Costs nothing. Raises `GitHubRefused` 401 when the login is no good."""
    answer = await github.get("/rate_limit", login)
    try:
        core = answer.body["resources"]["core"]
        resets_at = datetime.fromtimestamp(int(core["reset"]), UTC)
        return Limit(int(core["limit"]), int(core["remaining"]), resets_at, answer.scopes)
    except (KeyError, TypeError, ValueError, OverflowError, OSError):
        raise GitHubError("GitHub did not say how many requests are left.", "Check GITHUB_API_URL.") from None
