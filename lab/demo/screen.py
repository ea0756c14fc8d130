"""What the watcher of the demo sees: sentences, states as they come, and on a terminal a live line at the bottom."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bot.cli.output import harmless


class Seen(NamedTuple):
    """One act, whether it went as it should, and what shows that."""

    act: str
    is_so: bool
    evidence: str


class Screen:
    """Texts are printed as they are: nothing in them is markup."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, markup=False, emoji=False)
        if not self._console.is_terminal:
            self._console.width = 120
        self._status = self._console.status("")

    def __enter__(self) -> Screen:
        self._status.start()
        return self

    def __exit__(self, *details: object) -> None:
        self._status.stop()

    def live(self, text: str) -> None:
        """The line at the bottom; only on a terminal."""
        self._status.update(Text(text, style="cyan"))

    def title(self, text: str) -> None:
        self._print("")
        self._print(text, "bold")

    def say(self, text: str) -> None:
        self._print(f"  {text}")

    def command(self, text: str) -> None:
        self._print(f"  $ {text}", "cyan")

    def quote(self, text: str) -> None:
        """What a program wrote."""
        for line in text.splitlines():
            self._print(f"      | {harmless(line)}", "dim")

    def step(self, step: dict[str, Any], words: str, *, has_failed: bool = False) -> None:
        """A state that has ended."""
        took = seconds_between(step["started_at"], step["ended_at"])
        self._print(f"    {took:6.2f} s  {step['state']:<10} {words}", "red" if has_failed else "")

    def ending(self, state: str, words: str = "") -> None:
        style = "bold green" if state == "succeeded" else "bold yellow"
        self._print(f"    {'':>6}    {state:<10} {words}".rstrip(), style)

    def table(self, seen: Iterable[Seen]) -> None:
        table = Table("What", "Seen", "How it shows", title="Summary", title_justify="left")
        for act, is_so, evidence in seen:
            table.add_row(act, Text("yes" if is_so else "NO", style="green" if is_so else "bold red"), evidence)
        self._print("")
        self._console.print(table)

    def _print(self, text: str, style: str = "") -> None:
        self._console.print(text, style=style, soft_wrap=True)


def seconds_between(start: str, end: str) -> float:
    """Of two times as the API writes them."""
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
