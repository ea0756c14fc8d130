"""Replies as messages of Slack. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate, takewhile, zip_longest

from bot.notifiers.slack.blocks import SECTION, Block, Choice, Message, actions, buttons, context, message, section
from bot.notifiers.slack.text import code, cut, escaped, in_code, plain, span
from handlers.chatops.reply import Button, Reply

CODE, TABLE = 2500, 2800  # characters of one answer; longer ones are a file
MOST_BUTTONS, MOST_SECTIONS, WIDTH = 10, 6, 300  # `WIDTH`: characters of all columns of a table together
Rows = Sequence[Sequence[str]]


def message_of(reply: Reply) -> Message:
    """The whole answer, within Slack's limits; with a file of all of it where something had to be left out."""
    sections = list(_sections(escaped(line, SECTION) for line in reply.details))
    is_cut = len(sections) > MOST_SECTIONS or any(len(in_code(line)) > SECTION for line in (reply.text, *reply.details))
    blocks = [section(escaped(reply.text)), *map(section, sections[:MOST_SECTIONS])]
    if reply.table:
        shown, is_long = beginning(table(reply.table))
        is_cut = is_cut or is_long or _has_cut_cells(reply.table)
        blocks.append(section(code(shown)))
    if reply.code:
        is_cut = is_cut or len(in_code(reply.code)) > CODE
        blocks.append(section(code(reply.code, CODE)))
    if is_cut:
        blocks.append(context(f"All of it comes as the file {span(reply.file_name)}, to you alone."))
    blocks += actions(buttons_of(reply.buttons))
    return message(escaped(reply.text), blocks, (reply.file_name, _whole(reply)) if is_cut else None)


def buttons_of(wanted: Iterable[Button]) -> list[Block]:
    return buttons([Choice(*each) for each in wanted][:MOST_BUTTONS])


def table(rows: Rows, width: int = WIDTH) -> str:
    """Aligned columns, at most `width` characters together; the first row is the heading."""
    most = _column(rows, width)
    cells = [[cut(" ".join(plain(cell).split()), most) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip_longest(*cells, fillvalue="")]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip() for row in cells]
    return "\n".join(lines)


def beginning(text: str) -> tuple[str, bool]:
    """As many of the first lines as fit into a code block (one at least), and whether any are missing."""
    lines = text.split("\n")
    sizes = accumulate(len(in_code(line)) + 1 for line in lines)
    fitting = max(sum(1 for _ in takewhile(lambda size: size <= TABLE, sizes)), 1)
    return "\n".join(lines[:fitting]), fitting < len(lines)


def _column(rows: Rows, width: int = WIDTH) -> int:
    return max(width // max(max(map(len, rows), default=1), 1), 1)


def _has_cut_cells(rows: Rows) -> bool:
    return any(len(cell) > _column(rows) for row in rows for cell in row)


def _whole(reply: Reply) -> str:
    """What is in the file: a log or table alone as it is, else all that the answer says."""
    if reply.code and not reply.details and not reply.table:
        return plain(reply.code)
    parts = [reply.text, *reply.details, table(reply.table, 10_000) if reply.table else "", reply.code]
    return "\n".join(plain(part) for part in parts if part)


def _sections(lines: Iterable[str]) -> Iterable[str]:
    """Lines put together as far as one section holds them."""
    found = ""
    for line in lines:
        if found and len(found) + len(line) >= SECTION:
            yield found
            found = line
        else:
            found = f"{found}\n{line}" if found else line
    if found:
        yield found
