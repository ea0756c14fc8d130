"""What can be said, for the one who asks: only what they may do. Made of the registry."""

from __future__ import annotations

import difflib
from collections.abc import Callable

from bot.permissions import Action
from handlers.chatops.grammar import ALIASES, Misunderstood
from handlers.chatops.registry import VERBS, Verb
from handlers.chatops.reply import Button, Reply


def overview(may: Callable[[Action], bool], *, is_known: bool) -> Reply:
    """All commands that somebody may give, a line each; `is_known`: they are a user of o8."""
    mine = [verb for verb in VERBS.values() if verb.is_open or (is_known and _fits(verb, may))]
    lines = [f"`{verb.usage}` {verb.summary}" for verb in sorted(mine)]
    return Reply(
        "You may give these commands: anywhere as `/o8 ...`, in threads as `@o8 ...`, to o8 alone without either.",
        (*lines, "`/o8 help deploy` says more about one."),
    )


def of(topic: str) -> Reply:
    """One command: how it is written, what it needs, an example. Raises `Misunderstood` with what may be meant."""
    name = topic.strip().lower()
    verb = VERBS.get(ALIASES.get(name, name))
    if verb is None:
        close = difflib.get_close_matches(name, VERBS, n=2)
        meant = tuple(f"help {each}" for each in close)
        raise Misunderstood(f"There is no command {topic!r:.80}.", "`/o8 help` lists them.", meant)
    return Reply(f"/o8 {verb.usage}", (verb.help, _needs(verb)), buttons=(Button("All commands", "help"),))


def _fits(verb: Verb, may: Callable[[Action], bool]) -> bool:
    action = Action.ADMIN if verb.is_for_admins else verb.action
    return action is None or may(action)


def _needs(verb: Verb) -> str:
    if verb.is_for_admins:
        return "It needs the permission `admin` in the scope that it is about."
    if verb.is_open:
        return "Everybody may say this."
    return f"It needs the permission `{verb.action}`." if verb.action else "Everybody whom o8 knows may say this."
