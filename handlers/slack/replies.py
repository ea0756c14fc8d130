"""Replies as messages of Slack. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from bot.notifiers.slack.blocks import SECTION, Block, Message, actions, button, message, section
from bot.notifiers.slack.text import code, escaped, plain
from handlers.chatops.reply import Button, Reply

CODE, TABLE = 2500, 2800  # characters; longer ones are a file
MOST_BUTTONS, COLUMN = 10, 48
_TICKED = re.compile(r"`([^`\n]{1,200})`")


def message_of(reply: Reply) -> Message:
    """The whole answer, within Slack's limits; what does not fit is a file."""
    file: tuple[str, str] | None = None
    blocks: list[Block] = [section(prose(reply.text))]
    blocks += map(section, _sections(map(prose, reply.details)))
    if reply.table:
        text = table(reply.table)
        blocks.append(section(code(text if len(text) <= TABLE else text[:TABLE].rpartition("\n")[0], TABLE + 50)))
        file = ("o8.txt", text) if len(text) > TABLE else file
    if reply.code:
        blocks.append(section(code(reply.code, CODE)))
        file = (reply.file_name, plain(reply.code)) if len(reply.code) > CODE else file
    blocks += actions(buttons_of(reply.buttons))
    return message(prose(reply.text), blocks, file)


def _sections(lines: Iterable[str]) -> list[str]:
    """Lines put together as far as one section holds them."""
    found: list[str] = []
    for line in lines:
        if found and len(found[-1]) + len(line) < SECTION:
            found[-1] += f"\n{line}"
        else:
            found.append(line)
    return found


def buttons_of(buttons: Sequence[Button]) -> list[Block]:
    return [button(number, *each) for number, each in enumerate(buttons[:MOST_BUTTONS]) if len(each.command) <= 2000]


def prose(text: str) -> str:
    """Plain text, with `what is between ticks` as code. Nothing else in it means anything to Slack."""
    parts = enumerate(_TICKED.split(text))
    return "".join(f"`{escaped(part, 300)}`" if index % 2 else _still(escaped(part)) for index, part in parts)


def table(rows: Sequence[Sequence[str]]) -> str:
    """Aligned columns; the first row is the heading."""
    cells = [[plain(str(cell)).replace("\n", " ")[:COLUMN] for cell in row] for row in rows]
    widths = [max(len(row[index]) for row in cells) for index in range(len(cells[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    return "\n".join(lines)


def _still(text: str) -> str:
    """Marks that would begin formatting get an invisible neighbour, so that they do not."""
    return re.sub(r"(?<!\w)([*_~`])", "\\1\u2060", text)
