"""Block Kit with Slack's limits kept by construction. https://docs.slack.dev/reference/block-kit/blocks

Texts given here are mrkdwn that `text.escaped`, `text.code`, `text.mention` and `text.link` made.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from bot.notifiers.slack.text import cut, plain

Block = dict[str, Any]
Style = Literal["", "primary", "danger"]
SECTION, CONTEXT_TEXT, LABEL, VALUE, MOST_BLOCKS, MOST_BUTTONS, TEXT = 3000, 2000, 75, 2000, 50, 25, 4000


class Message(NamedTuple):
    """`text` is all that a screen reader or a notification says. `file` is a name and what is in it."""

    text: str
    blocks: list[Block]
    file: tuple[str, str] | None = None


def section(text: str) -> Block:
    return {"type": "section", "text": {"type": "mrkdwn", "text": cut(text, SECTION) or " "}}


def context(*texts: str) -> Block:
    elements = [{"type": "mrkdwn", "text": cut(text, CONTEXT_TEXT)} for text in texts if text][:10]
    return {"type": "context", "elements": elements or [{"type": "mrkdwn", "text": " "}]}


def header(text: str) -> Block:
    return {"type": "header", "text": {"type": "plain_text", "text": cut(plain(text), 150) or " "}}


def divider() -> Block:
    return {"type": "divider"}


def button(number: int, label: str, command: str, style: Style = "", confirm: str = "") -> Block:
    """Pressing it is the same as typing `command`. `number` tells the buttons of one message apart."""
    if len(command) > VALUE:
        raise ValueError(f"a command of {len(command)} characters fits into no button")
    found: Block = {
        "type": "button", "text": {"type": "plain_text", "text": cut(plain(label), LABEL) or "?"},
        "action_id": f"o8:run:{number}", "value": command,
    }  # fmt: skip
    if style:
        found["style"] = style
    if confirm:
        found["confirm"] = {
            "title": {"type": "plain_text", "text": "Are you sure?"},
            "text": {"type": "plain_text", "text": cut(plain(confirm), 300)},
            "confirm": {"type": "plain_text", "text": cut(plain(label), 30)},
            "deny": {"type": "plain_text", "text": "No"},
        }
    return found


def actions(buttons: Sequence[Block]) -> list[Block]:
    """One block of buttons, or none without any."""
    return [{"type": "actions", "elements": list(buttons[:MOST_BUTTONS])}] if buttons else []


def message(text: str, blocks: Sequence[Block], file: tuple[str, str] | None = None) -> Message:
    """`text` is mrkdwn, as the blocks are; both are cut to what one message holds."""
    return Message(cut(text, TEXT), list(blocks[:MOST_BLOCKS]), file)
