"""Which versions of a service's image there are."""

from __future__ import annotations

from bot.packages.listing import Versions
from bot.packages.versions import Version
from bot.permissions import Action
from handlers.chatops import names
from handlers.chatops.refusals import in_chat
from handlers.chatops.registry import verb
from handlers.chatops.reply import Button, Reply
from handlers.chatops.talk import Talk

MOST, WITH_BUTTONS = 20, 5


@verb("versions SVC [--all]", Action.VIEW_STATUS)
async def versions(talk: Talk, *, svc: str, all: bool = False) -> Reply:
    """What there is of a service's image, the newest first: what runs, what is newer, what is kept on the machine.

    The newest 20, or `--all`. Example: `/o8 versions web`
    """
    found = await talk.services.listing.versions(svc)
    if not found.versions:
        return Reply(f"No version of {found.image} is known.", (in_chat(found.note),))
    shown = found.versions if all else found.versions[:MOST]
    more = len(found.versions) - len(shown)
    newer = [each for each in found.versions if each.is_newer] if talk.may(Action.DEPLOY, svc) else []
    return Reply(
        _sentence(found),
        (*((f"And {more} more: `/o8 versions {svc} --all`.",) if more else ()), in_chat(found.note)),
        table=(("tags", "digest", "pushed", "size", ""), *map(_row, shown)),
        buttons=tuple(Button(f"Deploy {each.name}", f"deploy {svc} {each.reference}") for each in newer[:WITH_BUTTONS]),
    )


def _row(version: Version) -> tuple[str, ...]:
    tags = [version.tag, *(tag for tag in version.tags if tag != version.tag)]
    size = f"{version.bytes / 1_000_000:.1f} MB" if version.bytes else ""
    pushed = names.when(version.pushed_at) if version.pushed_at else ""
    return (", ".join(filter(None, tags)) or "-", version.short_digest, pushed, size, ", ".join(version.marks))


def _sentence(found: Versions) -> str:
    count, newer = len(found.versions), sum(each.is_newer for each in found.versions)
    runs = next((each.name for each in found.versions if each.runs), "")
    words = f"{found.service} could run {count} version{'s' * (count != 1)} of {found.image}"
    if not runs:
        return f"{words}; none of them runs."
    than = f"than {runs}, which runs"
    return (
        f"{words}; {newer} {'is' if newer == 1 else 'are'} newer {than}."
        if newer
        else f"{words}; none is newer {than}."
    )
