"""A message of Slack as plain lines: for assertions that read well, and for the demo."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import Any

from lab.slack.workspace import SlackMessage

_EMOJI = re.compile(r"(?<!\w):[a-z0-9_+-]*[a-z][a-z0-9_+-]*: ?")  # not the middle of 12:30:45


def as_text(message: SlackMessage | dict[str, Any]) -> str:
    """Texts, `[Buttons]` and fields, a line each; entities and bold marks as people see them."""
    if isinstance(message, dict):
        blocks, text = message.get("blocks") or [], message.get("text", "")
    else:
        blocks, text = message.blocks, message.text
    lines = [line for block in blocks for line in _lines(block)] or [text]
    return "\n".join(map(_read, lines))


def buttons(blocks: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """All buttons of a message or view."""
    for block in blocks:
        found = block.get("elements", []) if block.get("type") == "actions" else [block.get("accessory") or {}]
        yield from (one for one in found if one.get("type") == "button")


def _lines(block: dict[str, Any]) -> Iterator[str]:
    kind = block.get("type")
    if kind in ("section", "header"):
        if "text" in block:
            yield block["text"]["text"]
        yield from (field["text"] for field in block.get("fields", []))
    elif kind == "context":
        yield " \u00b7 ".join(element["text"] for element in block["elements"])
    elif kind == "input":
        yield f"{block['label']['text']}: ____"
    if names := [one["text"]["text"] for one in buttons([block])]:
        yield " ".join(f"[{name}]" for name in names)


def _read(line: str) -> str:
    return html.unescape(_EMOJI.sub("", line)).replace("*", "").replace("```", "").strip("\n")
