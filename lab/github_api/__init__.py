"""A stand-in for GitHub's REST API over TCP: packages, git references, Apps, deployments, webhooks, limits, refusals.

It is strict where GitHub forgives, so that a client that works here keeps to the documentation. To add a subject: a
`Part` in a module of its own, and its name below. Parts become one class: their private names must differ.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from lab.github_api.apps import Apps
from lab.github_api.deployments import Deployments
from lab.github_api.hooks import Hooks
from lab.github_api.packages import Packages
from lab.github_api.references import References
from lab.github_api.server import TOKEN, Caller, Reply
from lab.http_server import serving

__all__ = ["TOKEN", "Caller", "FakeGitHub", "Reply", "fake_github"]


class FakeGitHub(Packages, References, Deployments, Hooks, Apps):
    """What each attribute means is said where its part is."""


@contextmanager
def fake_github() -> Iterator[FakeGitHub]:
    """A `FakeGitHub` that answers at its `url` until the block ends."""
    github = FakeGitHub()
    with serving(github.application()) as address:
        github.address = address
        yield github
