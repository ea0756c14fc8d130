"""A build machine: a stand-in for GitHub, a real registry, a folder with something to build."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.builds import Bench
from lab.github_api import FakeGitHub, fake_github
from lab.registry import LabRegistry


@pytest.fixture
def github() -> Iterator[FakeGitHub]:
    with fake_github() as github:
        yield github


@pytest.fixture
def bench(tmp_path: Path, github: FakeGitHub, docker_registry: LabRegistry) -> Bench:
    return Bench(tmp_path, github, docker_registry)


@pytest.fixture
def package(github: FakeGitHub, service_name: str) -> str:
    """A package of `Acme` that GitHub knows and that has no version yet; each test has its own."""
    name = f"{service_name}-{os.getpid()}"
    github.packages["Acme", name] = []
    return name
