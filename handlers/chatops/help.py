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
    rows = [(f"/o8 {verb.usage}", verb.summary) for verb in VERBS.values() if verb.action is None or may(verb.action)]
    return Reply(
        "These are the commands that you may give.",
        ("Anywhere: `/o8 …`. In threads: `@o8 …`. `/o8 help deploy` says more about one.",),
        table=(("command", "what it does"), *sorted(rows)),
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
