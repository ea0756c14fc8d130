"""All verbs by name, with grammar, permission and help. Filled by `@verb` in `handlers.chatops.verbs`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from bot.permissions import Action
from handlers.chatops.reply import Reply

Run = Callable[..., Awaitable[Reply]]


class Verb(NamedTuple):
    """`usage` is the grammar itself (see `handlers.chatops.grammar`): `deploy SVC [RELEASE] [--dry-run]`.

    `action` is asked for in the scope of the service it names (of the deployment, for `approve ID`); without a service
    in `global`. None: every known user. `writes`: it changes something, so it is written down before it is run.
    """

    name: str
    usage: str
    help: str
    action: Action | None
    writes: bool
    run: Run


VERBS: dict[str, Verb] = {}


def verb(usage: str, action: Action | None, *, writes: bool = False) -> Callable[[Run], Run]:
    """Registers `async def name(talk, **values) -> Reply`; `values` are those of `usage` by its names in lower case."""

    def register(run: Run) -> Run:
        words: list[str] = []
        for word in usage.split():
            if not word.isalpha() or not word.islower():
                break
            words.append(word)
        name = " ".join(words)
        VERBS[name] = Verb(name, usage, (run.__doc__ or "").strip(), action, writes, run)
        return run

    return register
