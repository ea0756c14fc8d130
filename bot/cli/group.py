"""The `o8` command itself: what all its commands share, and how an error becomes a sentence and an exit code.

To add a command: a function in the module of its subject, marked `@o8.command(...)`; its docstring is its help, and
docs/cli.md has a line for it (a test holds both together).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from enum import IntEnum
from functools import cached_property
from pathlib import Path
from typing import Any

import click

from bot.cli.client import Client
from bot.cli.output import Output, harmless
from bot.errors import O8Error
from bot.settings import data_dir as find_data_dir
from bot.version import version

Serve = Callable[[Mapping[str, str], bool], None]


class Exit(IntEnum):
    """What the exit code of `o8` says."""

    DONE = 0
    FAILED = 1
    WRONG = 2
    UNKNOWN = 3
    REFUSED = 4
    UNREACHABLE = 5
    INTERRUPTED = 130


_EXIT_OF_CODE = {
    "invalid_input": Exit.WRONG, "settings": Exit.WRONG, "not_found": Exit.UNKNOWN, "conflict": Exit.REFUSED,
    "already_running": Exit.REFUSED, "unreachable": Exit.UNREACHABLE,
}  # fmt: skip


class Session:
    """What a command works with: the running o8 and the terminal."""

    def __init__(self, serve: Serve) -> None:
        """`serve` runs o8 in this process, with an environment and whether to log everything."""
        self.serve = serve
        self.environ = dict(os.environ)
        self.is_json = False

    @cached_property
    def api(self) -> Client:
        client = Client(find_data_dir(self.environ, Path(".env")) / "o8.sock")
        click.get_current_context().find_root().call_on_close(client.close)
        return client

    @cached_property
    def output(self) -> Output:
        return Output(is_json=self.is_json)


class Command(click.Command):
    """Every command can print the API's JSON."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.append(click.Option(
            ["--json"], is_flag=True, expose_value=False, callback=_choose_json, help="Print the API's JSON."
        ))  # fmt: skip


class Group(click.Group):
    """Commands in the order in which they were added, not by the alphabet."""

    command_class = Command

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except O8Error as error:
            click.echo(f"Error: {harmless(str(error))}", err=True)
            raise click.exceptions.Exit(_EXIT_OF_CODE.get(error.code, Exit.FAILED)) from None
        except (KeyboardInterrupt, click.Abort):
            click.echo("Interrupted.", err=True)
            raise click.exceptions.Exit(Exit.INTERRUPTED) from None


Group.group_class = Group
pass_session = click.make_pass_decorator(Session)


@click.group("o8", cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(version(), prog_name="o8")
@click.option("--data-dir", type=click.Path(path_type=Path), help="o8's folder; instead of O8_DATA_DIR.")
@pass_session
def o8(session: Session, data_dir: Path | None) -> None:
    """Orchestr8: push to deploy, without losing a request."""
    if data_dir is not None:
        session.environ["O8_DATA_DIR"] = str(data_dir)


def _choose_json(context: click.Context, parameter: click.Parameter, is_json: bool) -> None:
    context.ensure_object(Session).is_json = is_json
