"""Builds that push two at a time: no tag may be used twice. `make torture-tags`, or `python -m lab.torture_tags`.

Every build has other content, so that a tag that was overwritten is seen by its digest.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import requests

from lab import results
from lab.builds import COMMIT, Bench, Build, tags_of
from lab.engine import ensure_engine
from lab.github_api import FakeGitHub, fake_github
from lab.images import remove_repository
from lab.registry import LabRegistry, open_registry

PACKAGE = "torture"
ACCEPT = {"Accept": "application/vnd.docker.distribution.manifest.v2+json"}


class Found(NamedTuple):
    """`tags` of the builds that succeeded. `problems`: sentences about tags used twice, or not what was pushed."""

    tags: list[str]
    failed: list[Build]
    problems: list[str]
    took_s: float


def run(folder: Path, runs: int, at_once: int, claims: str) -> Found:
    """`claims`: where numbers are claimed (`github`, `local`); `own`: every run has its own place, as a control."""
    engine = ensure_engine()
    with fake_github() as github, open_registry() as registry:
        github.commits.add(COMMIT)
        github.versions_of = lambda owner, name: tags_of(registry, f"{owner.lower()}/{name}") or []
        began = time.monotonic()
        try:
            with ThreadPoolExecutor(at_once) as pool:
                builds = list(pool.map(lambda number: _build(folder, github, registry, number, claims), range(runs)))
            pushed = [build for build in builds if build.code == 0]
            failed = [build for build in builds if build.code != 0]
            problems = _problems(registry, pushed)
            return Found([build.tag for build in pushed], failed, problems, time.monotonic() - began)
        finally:
            remove_repository(engine.host, registry.image(f"acme/{PACKAGE}"))
            engine.stop()


def _build(folder: Path, github: FakeGitHub, registry: LabRegistry, number: int, claims: str) -> Build:
    bench = Bench(folder / str(number), github, registry)
    bench.fill(content=f"{folder} {number}")
    if claims == "github":
        return bench.run(PACKAGE, GITHUB_REPOSITORY="Acme/shop", GITHUB_SHA=COMMIT)
    return bench.run(PACKAGE, CLAIMS_DIR=str(folder / "claims" / (str(number) if claims == "own" else "")))


def _problems(registry: LabRegistry, pushed: Sequence[Build]) -> list[str]:
    twice = [tag for tag, times in Counter(build.tag for build in pushed).items() if times > 1]
    found = [f"{tag} was used twice" for tag in twice]
    for build in pushed:
        url = f"http://{registry.address}/v2/acme/{PACKAGE}/manifests/{build.tag}"
        digest = requests.head(url, headers=ACCEPT, timeout=15).headers.get("Docker-Content-Digest", "nothing")
        if digest != build.reference.partition("@")[2]:
            found.append(f"{build.reference} was pushed, and {digest} is there")
    return found


def report(campaigns: dict[str, Found]) -> str:
    lines = [f"{'claimed at':<12}{'runs':>6}{'pushed':>8}{'failed':>8}{'tags':>6}{'used twice':>12}{'seconds':>9}"]
    for name, found in campaigns.items():
        runs = len(found.tags) + len(found.failed)
        tags = len(set(found.tags))
        lines.append(
            f"{name:<12}{runs:>6}{len(found.tags):>8}{len(found.failed):>8}{tags:>6}"
            f"{len(found.problems):>12}{found.took_s:>9.0f}"
        )
    lines += ["", "nowhere: the control, every run claims in a folder of its own"]
    for name, found in campaigns.items():
        if name != "nowhere":
            lines += found.problems[:20] + [build.log[-500:] for build in found.failed[:2]]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--at-once", type=int, default=2)
    options = parser.parse_args()
    campaigns = {}
    with tempfile.TemporaryDirectory(prefix="o8-tags-") as folder:
        for name, runs in (("github", options.runs), ("local", options.runs // 4), ("own", options.runs // 4)):
            title = "nowhere" if name == "own" else name
            campaigns[title] = run(Path(folder) / name, runs, options.at_once, name)
    results.write("tags", f"python -m lab.torture_tags --runs {options.runs}", report(campaigns))
    kept = [found for name, found in campaigns.items() if name != "nowhere"]
    sys.exit(0 if all(not found.problems and not found.failed for found in kept) else 1)


if __name__ == "__main__":
    main()
