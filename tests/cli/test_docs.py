"""docs/cli.md is complete: every command with its options, every exit code, every call of the API."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click
import pytest

from bot.cli import Exit, o8
from tests.cli.conftest import REPOSITORY

TEXT = (REPOSITORY / "docs" / "cli.md").read_text()
ROWS = [line for line in TEXT.splitlines() if line.startswith("| ")]


def commands(group: click.Group = o8, name: str = "o8") -> Iterator[tuple[str, click.Command]]:
    for word, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{name} {word}")
        else:
            yield f"{name} {word}", command


COMMANDS = dict(commands())


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_row_with_its_arguments_and_options(name: str) -> None:
    command = COMMANDS[name]
    context = click.Context(command)
    usage = " ".join([name, *(p.make_metavar(context) for p in command.params if isinstance(p, click.Argument))])
    cell = usage.replace("|", r"\|")
    row = next((row for row in ROWS if row.startswith(f"| `{cell}` |")), None)
    assert row is not None, f"no row for `{cell}`"
    options = {o for p in command.params if isinstance(p, click.Option) for o in p.opts} - {"--json"}
    assert options == set(re.findall(r"`(--?[a-z-]+)`", row.rpartition(" | ")[2] if options else ""))


def test_no_row_describes_a_command_that_is_gone() -> None:
    described = {re.split(r" (?=[A-Z\[])", cell)[0] for cell in re.findall(r"^\| `(o8 [^`]*)` \|", TEXT, re.M)}
    assert described == set(COMMANDS)


def test_every_command_of_the_migration_exists() -> None:
    text = (REPOSITORY / "docs" / "migrating.md").read_text()
    words = {tuple(found.split()) for found in re.findall(r"\bo8 ([a-z]+(?: [a-z]+)?)", "\n".join(_code(text)))}
    assert words and all({f"o8 {word[0]}", f"o8 {' '.join(word)}"} & set(COMMANDS) for word in words)


def _code(text: str) -> list[str]:
    """Blocks and inline code of a page."""
    blocks = re.findall(r"```sh\n(.*?)```", text, re.S) + re.findall(r"(?m)^    (.*)$", text)
    return blocks + re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.S))


def test_the_options_of_o8_itself_are_named() -> None:
    assert all(f"`{p.opts[0]}" in TEXT or f"o8 {p.opts[0]}" in TEXT for p in o8.params)


@pytest.mark.parametrize("code", Exit)
def test_every_exit_code_is_documented(code: Exit) -> None:
    assert any(row.startswith(f"| {code.value} | {code.name.lower()} |") for row in ROWS)


def test_every_command_but_serve_can_print_json() -> None:
    assert [name for name, c in COMMANDS.items() if not any("--json" in p.opts for p in c.params)] == ["o8 serve"]


@pytest.mark.parametrize("page", ["README.md", "docs/installing.md", "docs/operations.md"])
def test_commands_that_guides_name_exist(page: str) -> None:
    code = re.findall(r"```.*?```|`[^`\n]+`", (REPOSITORY / page).read_text(), re.DOTALL)
    named = {found for text in code for found in re.findall(r"\bo8 ([a-z][a-z-]*)(?: |`|$)", text, re.MULTILINE)}
    assert named and named <= set(o8.commands) | {"from", "runs", "in", "itself"}
