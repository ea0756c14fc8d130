"""What came of a deployment, for a page that waits for it."""

from __future__ import annotations

import contextlib
from typing import Any

from bot.errors import Conflict, O8Error
from bot.models import Deployment, State
from handlers.orchestr8.routing import Asked, done
from handlers.streams import streaming

_ENDED_BADLY = (State.FAILED, State.ROLLED_BACK, State.CANCELLED, State.NEEDS_ATTENTION)


async def outcome(asked: Asked, deployment: Deployment) -> dict[str, Any]:
    """Once it serves, or has ended: draining and watching are not waited for.

    Raises `Conflict` when it failed: visitors saw nothing of it then.
    """
    with streaming(asked.request):  # o8's end does not wait for it
        found = await asked.services.worker.outcome(deployment.id)
    await show(asked, found.service)
    if found.state in _ENDED_BADLY:
        raise Conflict(f"{found.service} {found.release} was not brought up: {found.error}", found.next_step)
    where = ", ".join(found.configuration.domains) or found.configuration.host_port or "its default domain"
    if found.switched_at or found.state is State.UNCHANGED:
        nginx = f"nginx sends {where} to it."
        return done(f"{found.service} {found.release} serves.", nginx=nginx, deployment=found.id)
    words = {State.WAITING: "waits for approval", State.HELD: "is held", State.SUPERSEDED: "gave way to a newer one"}
    message = f"Deployment {found.id} of {found.service} {words.get(found.state, found.state)}. {found.error}".strip()
    return done(message, nginx="", deployment=found.id)


async def show(asked: Asked, service: str) -> None:
    """The list that the page asks for next shows what was done, not what was before."""
    with contextlib.suppress(O8Error):  # Docker will tell later
        await asked.services.observer.look(service)
