"""The command line: /api/v1 for people. Only this package knows click and rich."""

from __future__ import annotations

from collections.abc import Sequence

from bot.cli import (
    deploying,
    environment,
    github,
    importing,
    init,
    installing,
    machine,
    packages,
    people,
    safekeeping,
    service,
    tokens,
)
from bot.cli.group import Exit, Serve, Session, o8

__all__ = [
    "Exit",
    "Serve",
    "Session",
    "deploying",
    "environment",
    "github",
    "importing",
    "init",
    "installing",
    "machine",
    "o8",
    "packages",
    "people",
    "run",
    "safekeeping",
    "service",
    "tokens",
]


def run(arguments: Sequence[str] | None, serve: Serve) -> None:
    """Does what `arguments` say (default: those of the process) and ends the process with its exit code."""
    o8.main(args=arguments, prog_name="o8", obj=Session(serve))
