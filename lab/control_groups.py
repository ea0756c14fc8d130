"""Control groups of the kernel, of either version: a place for processes of ours, removed with all inside it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")


def hierarchies() -> Iterator[Path]:
    """The one of version 2, or each controller's of version 1."""
    if (ROOT / "cgroup.procs").exists():
        yield ROOT
    else:
        yield from (folder for folder in sorted(ROOT.iterdir()) if (folder / "cgroup.procs").exists())


def make(name: str) -> list[Path]:
    """A group `name` in every hierarchy; who writes its number into `cgroup.procs` of each belongs to it."""
    made = []
    for folder in hierarchies():
        group = folder / name
        group.mkdir(exist_ok=True)
        for given in ("cpuset.cpus", "cpuset.mems"):  # version 1 lets nobody in before these are set
            if folder.name == "cpuset":
                (group / given).write_text((folder / given).read_text())
        made.append(group)
    return made


def remove(name: str) -> bool:
    """The group and all below it, from the innermost outwards; False when the kernel refuses one that is in use."""
    groups = list(ROOT.glob(f"**/{name.strip('/')}"))
    for group in groups:
        for inner in sorted(group.glob("**/"), key=lambda path: len(path.parts), reverse=True):
            with suppress(OSError):
                inner.rmdir()
    return not any(group.exists() for group in groups)
