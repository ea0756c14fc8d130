"""Locks: nobody deploys, for a while and for a reason."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from bot.permissions import Action
from handlers.chatops import names
from handlers.chatops.registry import verb
from handlers.chatops.reply import Button, Reply
from handlers.chatops.talk import Talk
from handlers.commands import DEFAULT_LOCK


@verb("lock SVC [--for DURATION] -- REASON", Action.DEPLOY, writes=True)
async def lock(talk: Talk, *, svc: str, reason: str, for_: timedelta = DEFAULT_LOCK) -> Reply:
    """Nobody deploys this service until the lock is lifted or over: 4 hours, unless `--for` says otherwise.

    Example: `/o8 lock web --for 2h -- moving the database`
    """
    locked = (await talk.commands.lock(svc, reason, for_)).lock
    until = names.when(locked.until) if locked else ""
    return Reply(f"{svc} is locked until {until}: {reason}.", buttons=(Button("Unlock", f"unlock {svc}"),))


@verb("unlock SVC [--steal]", Action.DEPLOY, writes=True)
async def unlock(talk: Talk, *, svc: str, steal: bool = False) -> Reply:
    """Lifts your lock. `--steal` lifts somebody else's, who is told (needs `manage`)."""
    lifted = await talk.commands.unlock(svc, steal=steal)
    kind, _, name = lifted.actor.partition(":")
    if lifted.actor != talk.person.actor and kind == "slack":
        await talk.stage.tell(
            name.rpartition(":")[2], f"Your lock of {svc} ({lifted.reason}) was lifted by {talk.person.username}."
        )
    return Reply(f"{svc} is not locked any more.")


@verb("locks", Action.VIEW_STATUS)
async def locks(talk: Talk) -> Reply:
    """Which services are locked, by whom, until when and why."""
    seen, rows = set(await talk.seen()), []
    for service in await talk.services.store.services():
        found = service.lock
        if found and found.until > datetime.now(UTC) and service.name in seen:
            by = await names.person(talk.services.authority, found.actor)
            rows.append((service.name, by, names.when(found.until), found.reason))
    if not rows:
        return Reply("No service is locked.")
    words = "1 service is" if len(rows) == 1 else f"{len(rows)} services are"
    return Reply(f"{words} locked.", table=(("service", "by", "until", "why"), *rows))
