"""What can be said, for the one who asks: only what they may do. Made of the registry."""

from __future__ import annotations

import difflib
from collections.abc import Callable

from bot.errors import NotFound
from bot.permissions import Action
from handlers.chatops.registry import VERBS, Verb
from handlers.chatops.reply import Button, Reply


def overview(may: Callable[[Action], bool]) -> Reply:
    """All commands that somebody may give, a line each."""
    mine = [verb for verb in VERBS.values() if verb.action is None or may(verb.action)]
    lines = [f"`{verb.usage}` {verb.summary}" for verb in sorted(mine)]
    return Reply(
        "You may give these commands: anywhere as `/o8 ...`, in threads as `@o8 ...`, to o8 alone without either.",
        (*lines, "`/o8 help deploy` says more about one."),
    )


def of(topic: str) -> Reply:
    """One command: how it is written, what it needs, an example. Raises `NotFound`."""
    verb = VERBS.get(topic.strip().lower())
    if verb is None:
        close = difflib.get_close_matches(topic, VERBS, n=2)
        raise NotFound(f"There is no command {topic!r:.80}.", "`/o8 help` lists them.", close)
    return Reply(f"/o8 {verb.usage}", (verb.help, _needs(verb)), buttons=(Button("All commands", "help"),))


def _needs(verb: Verb) -> str:
    if verb.is_open:
        return "Everybody may say this."
    return f"It needs the permission `{verb.action}`." if verb.action else "Everybody whom o8 knows may say this."
