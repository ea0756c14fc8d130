"""Runs `examples/build-push.sh` against a stand-in for GitHub and a real registry, as a build machine would."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import requests

from lab.github_api import TOKEN, FakeGitHub
from lab.registry import PASSWORD, USER, LabRegistry

SCRIPT = Path(__file__).parent.parent / "examples/build-push.sh"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
LIMIT_S = 120
DOCKERFILE = "FROM scratch\nCOPY hello /hello\nLABEL lab.build=1\n"


class Build(NamedTuple):
    code: int
    said: str  # standard output
    log: str

    @property
    def reference(self) -> str:
        """`image:tag@digest`, or `image:tag` of a dry run; empty when nothing was pushed."""
        return self.said.strip()

    @property
    def tag(self) -> str:
        return self.reference.partition("@")[0].rpartition(":")[2]


class Bench:
    """A folder with a build context, and the settings of one build machine. `owner` is `Acme` unless said otherwise."""

    def __init__(self, folder: Path, github: FakeGitHub, registry: LabRegistry, **environ: str) -> None:
        self.folder = folder
        self.registry = registry
        self.context = folder / "context"
        self.context.mkdir(parents=True, exist_ok=True)
        self.fill()
        kept = {name: os.environ[name] for name in ("PATH", "DOCKER_HOST") if name in os.environ}
        self.environ = {
            **kept, "HOME": str(folder), "DOCKER_CONFIG": str(folder / "docker"), "TMPDIR": str(folder),
            "OWNER": "Acme", "GITHUB_TOKEN": TOKEN, "GITHUB_API_URL": github.url, "REGISTRY": registry.address,
            "DOCKER_USERNAME": USER, "DOCKER_PASSWORD": PASSWORD, "CONTEXT": str(self.context), "RETRY_S": "0",
            "DOCKER_BUILDKIT": "0",
        } | environ  # fmt: skip

    def fill(self, content: str = "", dockerfile: str = DOCKERFILE) -> None:
        """What is built; other bytes for each machine, so that none shares its images with another."""
        (self.context / "hello").write_text(content or str(self.folder))
        (self.context / "Dockerfile").write_text(dockerfile)

    def run(self, *arguments: str, **environ: str) -> Build:
        # For the cache of `FROM scratch` Docker 20.10 looks at every image, and fails when one is removed meanwhile.
        options = ("--no-cache",) if "--" in arguments else ("--", "--no-cache")
        done = subprocess.run(
            (str(SCRIPT), *arguments, *options), env=self.environ | environ, cwd=self.folder, timeout=LIMIT_S,
            capture_output=True, text=True,
        )  # fmt: skip
        return Build(done.returncode, done.stdout, done.stderr)

    def dry_run(self, *arguments: str, **environ: str) -> Build:
        return self.run("--dry-run", *arguments, **environ)


def tags_of(registry: LabRegistry, repository: str) -> list[Sequence[str]] | None:
    """The tags of a repository as GitHub lists versions; None when there is no such repository."""
    headers: Mapping[str, str] = registry.authorization(repository)
    answer = requests.get(f"http://{registry.address}/v2/{repository}/tags/list", headers=headers, timeout=15)
    return [[tag] for tag in answer.json()["tags"] or ()] if answer.status_code == 200 else None
