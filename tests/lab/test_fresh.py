"""`make fresh` follows the pages: what it looks for there is there, and its machine's script is sound."""

from __future__ import annotations

import re
import shlex
import subprocess

import pytest

from bot.cli import o8
from lab import control_groups, fresh_machine, fresh_story

PAGES = [
    ("README.md", "Run it for real", 0),
    *(("docs/operations.md", heading, 0) for heading in ("Backup", "Restore", "Upgrade", "Moving to another host")),
    ("docs/operations.md", "Moving to another host", 1),
]


@pytest.mark.parametrize(("page", "heading", "block"), PAGES)
def test_the_commands_of_a_guide_are_found_and_stand_alone(page: str, heading: str, block: int) -> None:
    lines = fresh_story.lines_of(page, heading, block)
    assert lines and all(line.startswith("sudo ") for line in lines)
    assert not [line for line in lines if "#" in shlex.split(line)]
    for word in re.findall(r"(?<![.\w])o8 ([a-z-]+)", "\n".join(lines)):
        assert word in o8.commands


def test_the_first_line_of_the_readme_is_all_that_a_fresh_debian_lacks() -> None:
    first, pip, init, *_, last = fresh_story.lines_of("README.md", "Run it for real")
    assert first == "sudo apt-get install docker.io nginx python3-venv"
    assert "pip install ." in pip and "o8 init" in init and last == "sudo -u orchestr8 o8 doctor"


def test_the_script_that_boots_it_is_sound() -> None:
    done = subprocess.run(
        ("shellcheck", "--severity=warning", fresh_machine.BOOT), capture_output=True, text=True, check=False
    )
    assert done.stdout == ""


def test_every_control_group_is_found() -> None:
    assert list(control_groups.hierarchies())
