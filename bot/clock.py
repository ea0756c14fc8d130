"""How far this machine's clock is off, by the word of another server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import aiohttp
from yarl import URL


async def offset(url: URL, timeout_s: float) -> timedelta | None:
    """This machine's time minus that in the `Date` of any answer of `url`, to the second; None without an answer."""
    limit = aiohttp.ClientTimeout(total=timeout_s)
    try:
        # Certificates are not checked: a wrong clock makes every one of them look invalid, and nothing secret is sent.
        async with (
            aiohttp.ClientSession(timeout=limit) as session,
            session.get(url, ssl=False, allow_redirects=False) as answer,
        ):
            date = parsedate_to_datetime(answer.headers["Date"])  # RFC 9110, 6.6.1
    except (aiohttp.ClientError, TimeoutError, OSError, LookupError, ValueError):
        return None
    return datetime.now(UTC) - date
