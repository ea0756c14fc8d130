"""A write with an `Idempotency-Key` is done once, however often a program that heard no answer sends it again.

https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from aiohttp import web

from bot.errors import Conflict, InvalidInput, O8Error
from bot.services import Services
from handlers.access import caller_of
from handlers.errors import Refusal, status_of

HEADER = "Idempotency-Key"
_KEY = re.compile(r"[\x21-\x7e]{1,255}")


async def perform(
    services: Services, request: web.Request, body: bytes, act: Callable[[], Awaitable[web.StreamResponse]],
    *, is_kept: bool,
) -> web.StreamResponse:  # fmt: skip
    """What `act` answers, or answered the first time. A refusal is not kept: nothing was done then.

    Raises `Conflict` while the first one is at work, or when that failed or ended midway, so that nobody knows what
    came of it; 422 when the same key comes with another request.
    """
    key = request.headers.get(HEADER, "").strip('"')
    if HEADER not in request.headers or not is_kept:
        return await act()
    if not _KEY.fullmatch(key):
        raise InvalidInput(f"{HEADER} = {key!r:.40} is no key.", "1 to 255 visible characters, such as a UUID.")
    actor, store = caller_of(request).actor, services.store
    asked = services.vault.fingerprint(f"{request.method} {request.path_qs} ".encode() + body)
    known = await store.begin_answer(actor, key, asked)
    if known is None:
        return await _first(services, actor, key, act)
    if known.request != asked:
        raise Refusal(
            HTTPStatus.UNPROCESSABLE_ENTITY, "key_reused", f"{HEADER} {key!r:.40} came with another request before.",
            "Take a new key for each wish.",
        )  # fmt: skip
    if not known.status:
        raise Conflict(
            "The same request is at work, or it failed midway and o8 does not know what came of it.",
            "Look at what is there before you ask again, with a new key.",
        )
    return web.Response(
        status=known.status, body=known.body, content_type="application/json", headers={"Idempotency-Replayed": "true"}
    )


async def _first(
    services: Services, actor: str, key: str, act: Callable[[], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        answer = await act()
    except O8Error as error:
        if status_of(error) < HTTPStatus.INTERNAL_SERVER_ERROR:
            await services.store.drop_answer(actor, key)
        raise
    if isinstance(answer, web.Response) and isinstance(answer.body, bytes):
        await services.store.keep_answer(actor, key, answer.status, answer.body)
    return answer
