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
    in `global`. None: every known user; `is_open`: strangers too. `writes`: it changes something, so it is written down
    before it is run. `is_for_admins`: it asks itself for `admin` in the scope that its values name. `caution`: a secret
    may be among the words by mistake; they are never repeated, this is said.
    """

    name: str
    usage: str
    help: str
    action: Action | None
    writes: bool
    is_open: bool
    run: Run
    is_for_admins: bool = False
    caution: str = ""

    @property
    def summary(self) -> str:
        return self.help.partition("\n")[0]


class FormHandler(NamedTuple):
    """What is done with a form that somebody filled in."""

    action: Action | None
    run: Run


VERBS: dict[str, Verb] = {}
FORMS: dict[str, FormHandler] = {}


def verb(
    usage: str, action: Action | None, *, writes: bool = False, is_open: bool = False, is_for_admins: bool = False,
    caution: str = "",
) -> Callable[[Run], Run]:  # fmt: skip
    """Registers `async def name(talk, **values) -> Reply`; `values` are those of `usage` by its names in lower case."""

    def register(run: Run) -> Run:
        name = name_in(usage)
        text = "\n".join(line.strip() for line in (run.__doc__ or "").strip().splitlines())
        VERBS[name] = Verb(name, usage, text, action, writes, is_open, run, is_for_admins, caution)
        return run

    return register


def form(verb: str, action: Action | None) -> Callable[[Run], Run]:
    """Registers what is done when the form of `verb` comes back: `async def name(talk, **fixed, **entered)`."""

    def register(run: Run) -> Run:
        FORMS[verb] = FormHandler(action, run)
        return run

    return register


def name_in(usage: str) -> str:
    """The words before the first placeholder: `env set` of `env set SVC KEY`."""
    words: list[str] = []
    for word in usage.split():
        if not word.replace("-", "").isalpha() or not word.islower() or word.startswith("-"):
            break
        words.append(word)
    return " ".join(words)
