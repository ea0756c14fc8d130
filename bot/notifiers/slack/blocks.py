"""Block Kit with Slack's limits kept by construction. https://docs.slack.dev/reference/block-kit/blocks

Texts given here are mrkdwn that the functions of `text` made; labels and questions are plain.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

from bot.notifiers.slack.text import cut, plain

Block = dict[str, Any]
Style = Literal["", "primary", "danger"]
SECTION, CONTEXT_TEXT, LABEL, VALUE, MOST_BLOCKS, MOST_BUTTONS, TEXT = 3000, 2000, 75, 2000, 50, 25, 4000


class Choice(NamedTuple):
    """A button to be: pressing it is the same as typing `command`. `question` has to be answered with yes first."""

    label: str
    command: str
    style: Style = ""
    question: str = ""


class Message(NamedTuple):
    """`text` is all that a screen reader or a notification says. `file` is a name and what is in it."""

    text: str
    blocks: list[Block]
    file: tuple[str, str] | None = None


def section(text: str) -> Block:
    return {"type": "section", "text": _mrkdwn(text, SECTION)}


def context(*texts: str) -> Block:
    elements = [_mrkdwn(text, CONTEXT_TEXT) for text in texts if text][:10]
    return {"type": "context", "elements": elements or [_mrkdwn(" ", 1)]}


def header(text: str) -> Block:
    return {"type": "header", "text": plain_text(text, 150)}


def plain_text(text: str, most: int) -> Block:
    """For labels and titles, where nothing is formatted."""
    return {"type": "plain_text", "text": cut(plain(text), most) or " "}


def divider() -> Block:
    return {"type": "divider"}


def buttons(choices: Iterable[Choice]) -> list[Block]:
    """Each with a number that tells it from the others of a message; without commands that are too long for one."""
    fitting = [choice for choice in choices if len(choice.command) <= VALUE]
    return [_button(number, choice) for number, choice in enumerate(fitting[:MOST_BUTTONS])]


def actions(elements: Sequence[Block]) -> list[Block]:
    """One block of buttons, or none without any."""
    return [{"type": "actions", "elements": list(elements)}] if elements else []


def message(text: str, blocks: Sequence[Block], file: tuple[str, str] | None = None) -> Message:
    """`text` is mrkdwn, as the blocks are; both are cut to what one message holds."""
    return Message(cut(text, TEXT), list(blocks[:MOST_BLOCKS]), file)


def _button(number: int, choice: Choice) -> Block:
    label = plain(choice.label).strip()
    found: Block = {
        "type": "button", "text": plain_text(label, LABEL), "action_id": f"o8:run:{number}", "value": choice.command,
    }  # fmt: skip
    if choice.style:
        found["style"] = choice.style
    if choice.question:
        found["confirm"] = {
            "title": plain_text("Are you sure?", 100),
            "text": plain_text(choice.question, 300),
            "confirm": plain_text(f"Yes, {label[:1].lower()}{label[1:]}", 30),  # "Cancel" beside "No" would be a riddle
            "deny": plain_text("No", 30),
        }
    return found


def _mrkdwn(text: str, most: int) -> Block:
    # Else Slack makes links of addresses and names in what others wrote, and `@here` may count.
    return {"type": "mrkdwn", "text": cut(text, most) or " ", "verbatim": True}
