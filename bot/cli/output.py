"""Prints for people and for programs. Text that came from elsewhere cannot steer the terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from rich.console import Console

Record = dict[str, Any]  # a deployment as the API shows it
# Control characters (C0 but for tab and newline, C1) and those that turn the direction of text around.
_HARMFUL = [*range(0x09), *range(0x0B, 0x20), *range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
_ESCAPED = {code: f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" for code in _HARMFUL}
_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


class Output:
    """Stdout, as tables and sentences or as JSON."""

    def __init__(self, *, is_json: bool) -> None:
        self.is_json = is_json
        self.is_terminal = sys.stdout.isatty()

    @cached_property
    def console(self) -> Console:
        from rich.console import Console  # late: `o8 serve` must not carry it about

        # Programs that read a pipe get whole lines, however long.
        return Console(markup=False, emoji=False, highlight=False, width=None if self.is_terminal else 10_000)

    def show(self, answer: Any, in_words: Callable[[], None]) -> None:
        """`answer` as JSON when that was asked for, else whatever `in_words` prints."""
        if self.is_json:
            sys.stdout.write(orjson.dumps(answer, option=orjson.OPT_INDENT_2).decode() + "\n")
        else:
            in_words()

    def say(self, text: str) -> None:
        self.console.print(harmless(text), soft_wrap=True)

    def line(self, text: str) -> None:
        """A line as a service wrote it, unless a terminal would obey it; as JSON: an object with the key `line`."""
        if self.is_json:
            text = orjson.dumps({"line": text}).decode()
        sys.stdout.write((harmless(text) if self.is_terminal else text) + "\n")
        sys.stdout.flush()

    def table(self, heads: Sequence[str], rows: Iterable[Sequence[object]], *, nothing: str) -> None:
        """`nothing` is said when there are no rows."""
        from rich.table import Table

        table = Table(*heads, box=None, pad_edge=False, header_style="bold")
        for row in rows:
            table.add_row(*(harmless(str(cell)).replace("\n", " ") for cell in row))
        if table.row_count:
            self.console.print(table)
        else:
            self.say(nothing)


def harmless(text: str) -> str:
    """`text` with characters that steer a terminal written out, such as `\\x1b`."""
    return text.translate(_ESCAPED)


def ago(time: str | None) -> str:
    """Such as `3 min ago`, from an ISO-8601 time; `-` for none."""
    if time is None:
        return "-"
    return f"{length((datetime.now(UTC) - datetime.fromisoformat(time)).total_seconds())} ago"


def between(start: str, end: str | None) -> str:
    """How long something took; still running when `end` is None."""
    last = datetime.fromisoformat(end) if end else datetime.now(UTC)
    seconds = (last - datetime.fromisoformat(start)).total_seconds()
    return f"{seconds:.1f} s" if seconds < 10 else length(seconds)


def length(seconds: float) -> str:
    size, unit = next((pair for pair in _UNITS if seconds >= pair[0]), _UNITS[-1])
    return f"{max(seconds, 0) // size:.0f} {unit}"


def megabytes(count: int) -> str:
    return f"{count / 1_000_000:.1f} MB"
