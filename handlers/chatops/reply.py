"""What o8 answers in chat, as plain values: Slack's blocks and the demo's text are made of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple


class Button(NamedTuple):
    """Pressing it is the same as typing `command` (without `/o8`): same parser, same rights, checked then."""

    label: str
    command: str
    style: Literal["", "primary", "danger"] = ""
    confirm: str = ""  # a question to be answered with yes before it counts


class Field(NamedTuple):
    """One input of a form. `source` names what its choices come from: `services`, `releases:web`."""

    name: str
    label: str
    kind: Literal["text", "secret", "choice", "number"] = "text"
    value: str = ""
    hint: str = ""
    is_optional: bool = False
    source: str = ""
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Form:
    """A modal. What is entered comes back to `desk.submit` as `name -> value`, never as text: it may be a secret.

    Without fields it is one to read. `verb` is carried out with it; `fixed` are values that nobody enters, such as the
    service.
    """

    verb: str
    title: str  # at most 24 characters
    submit: str
    fields: tuple[Field, ...]
    fixed: dict[str, str] = field(default_factory=dict)
    about: str = ""


@dataclass(frozen=True)
class Reply:
    """`text` is a full sentence that says it all to who hears only that; all of it is plain text, escaped later."""

    text: str
    details: tuple[str, ...] = ()
    table: tuple[tuple[str, ...], ...] = ()  # the first row is the heading
    code: str = ""  # a log, a file; long ones are sent as a file
    file_name: str = "o8.txt"
    buttons: tuple[Button, ...] = ()
    form: Form | None = None  # opened instead of the text where the place can show one
    later: Callable[[], Awaitable[Reply]] | None = None  # `form` only says "wait"; what this returns replaces it
    is_public: bool = False
    is_refusal: bool = False
