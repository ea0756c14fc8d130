"""What a form brought, however broken: a request that makes no sense is never a fault of o8."""

from __future__ import annotations

from aiohttp import web

from bot.errors import InvalidInput


async def fields(request: web.Request) -> dict[str, str]:
    """Its fields; files are left aside. Raises `InvalidInput`."""
    try:
        sent = await request.post()
    except (ValueError, LookupError):  # no boundary, half a part, bytes of another charset, a charset of no one
        raise InvalidInput("The form cannot be read.", "Load the page again and repeat.") from None
    return {key: value for key, value in sent.items() if isinstance(value, str)}
