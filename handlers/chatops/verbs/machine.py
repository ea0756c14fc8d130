"""The channel, the audit, the machine, and help."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from bot.permissions import Action
from handlers.chatops import help as helping
from handlers.chatops import names
from handlers.chatops.registry import verb
from handlers.chatops.reply import Reply
from handlers.chatops.talk import Talk


@verb("help [TOPIC]", None, is_open=True)
async def help(talk: Talk, *, topic: str = "") -> Reply:
    """What you can say; about one command: everything.

    Example: `/o8 help deploy`
    """
    if topic:
        return helping.of(topic)
    seen = await talk.seen()
    return helping.overview(
        lambda action: talk.may(action) or any(talk.may(action, name) for name in seen),
        is_known=bool(talk.person.username),
    )


@verb("route SVC CHANNEL", Action.MANAGE, writes=True)
async def route(talk: Talk, *, svc: str, channel: str) -> Reply:
    """The cards of a service go to this channel from now on.

    Example: `/o8 route web #team-web`
    """
    await talk.commands.route(svc, channel)
    return Reply(f"Cards of {svc} go to {names.channel(channel)} from now on.")


@verb("mute SVC DURATION", Action.MANAGE, writes=True)
async def mute(talk: Talk, *, svc: str, duration: timedelta) -> Reply:
    """No cards of what goes well for a while; trouble is told afterwards.

    Example: `/o8 mute web 1h`
    """
    until = datetime.now(UTC) + duration
    await talk.commands.mute(svc, until)
    return Reply(f"{svc} is muted until {names.when(until)}.")


@verb("unmute SVC", Action.MANAGE, writes=True)
async def unmute(talk: Talk, *, svc: str) -> Reply:
    """Ends a mute."""
    await talk.commands.mute(svc, None)
    return Reply(f"{svc} is not muted any more.")


@verb("audit [SVC]", Action.ADMIN)
async def audit(talk: Talk, *, svc: str = "") -> Reply:
    """Who did what, the newest first.

    Example: `/o8 audit web`
    """
    found = await talk.services.store.audit(limit=20, subject=svc)
    rows = []
    for entry in found:
        by = await names.person(talk.services.authority, entry.actor)
        detail = ", ".join(f"{key}={value}" for key, value in entry.detail.items() if isinstance(value, str | int))
        rows.append((names.when(entry.at), by, entry.action, entry.subject, detail[:60]))
    if not rows:
        return Reply("Nothing was done yet.")
    return Reply(f"The last {len(rows)} acts.", table=(("when", "who", "what", "to", ""), *rows))


@verb("doctor", Action.ADMIN)
async def doctor(talk: Talk) -> Reply:
    """Checks what o8 needs, and says what to do."""
    found = await talk.services.doctor.check()
    bad = [f for f in found if f.state != "ok"]
    rows = [(f.state, f.subject, f.message) for f in found]
    todo = tuple(f"{f.subject}: {f.message} {f.next_step}" for f in bad)
    said = f"{len(bad)} of {len(found)} checks need a look." if bad else "All is well."
    return Reply(said, todo, table=(("", "what", "found"), *rows))
