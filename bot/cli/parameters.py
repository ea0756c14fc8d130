"""What commands take besides plain text."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

import click

from bot.permissions import Action

F = TypeVar("F", bound=Callable[..., Any])
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class Duration(click.ParamType[timedelta]):
    """`90s`, `10m`, `2h`, `1d` or several of them: `1h30m`."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        if isinstance(value, timedelta):
            return value
        parts = re.findall(r"([0-9]{1,6})([smhd])", value)
        if not parts or "".join(number + unit for number, unit in parts) != value:
            self.fail(f"{value!r} is not a duration such as 90s, 10m, 2h or 1h30m.", param, ctx)
        return sum((timedelta(**{_UNITS[unit]: int(number)}) for number, unit in parts), timedelta())


class Right(click.ParamType[dict[str, str]]):
    """`ACTION:SCOPE`, such as `deploy:service:web`; as the API takes it: `{"action": ..., "scope": ...}`."""

    name = "right"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, str]:
        if isinstance(value, dict):
            return value
        action, _, scope = str(value).partition(":")
        if action not in list(Action) or not scope:
            self.fail(f"{value!r} is not ACTION:SCOPE such as deploy:service:web or view_status:global.", param, ctx)
        return {"action": action, "scope": scope}


def secret(question: str) -> str:
    """Asked at a terminal, twice and without echo; else all of stdin, without the end of its last line."""
    if sys.stdin.isatty():
        return str(click.prompt(question, hide_input=True, confirmation_prompt=True))
    return from_stdin()


def from_stdin() -> str:
    return sys.stdin.read().removesuffix("\n").removesuffix("\r")


def waiting(command: F) -> F:
    """Adds how long to wait, as `until`: `asked`, None (until the release serves) or `ended`."""
    detach = click.option("--detach", "until", flag_value="asked", help="Return at once.")
    wait = click.option("--wait", "until", flag_value="ended", help="Wait for the ending: drained and watched, too.")
    return detach(wait(command))


def confirmed(command: F) -> F:
    """Adds `--yes`, as `is_sure`."""
    return click.option("--yes", "is_sure", is_flag=True, help="Do not ask.")(command)


def make_sure(question: str, is_sure: bool) -> None:
    """Asks unless `is_sure`; "no" ends the command."""
    if not is_sure:
        click.confirm(question, abort=True)
