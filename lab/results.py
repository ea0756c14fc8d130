"""Writes what a benchmark measured to docs/results/, with the command, the commit and the machine."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs/results"


def write(name: str, command: str, text: str, begun_at: str = "") -> Path:
    """Stores `text` as `docs/results/{name}.txt` under a head that says how it came about; prints it too.

    `begun_at`: the `commit` that was measured, of a run so long that there may be a newer one by now.
    """
    head = "\n".join((
        f"command: {command}",
        f"date:    {datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        f"commit:  {begun_at or commit()}",
        f"machine: {os.cpu_count()} cores, {_memory_gib():.0f} GiB, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}",
    ))  # fmt: skip
    path = FOLDER / f"{name}.txt"
    path.write_text(f"{head}\n\n{text.rstrip()}\n")
    print(path.read_text())
    return path


def commit() -> str:
    """The one that is checked out, and whether the code is as it says."""

    def git(*arguments: str) -> str:
        return subprocess.run(("git", *arguments), cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    changed = " with uncommitted changes" if git("status", "--porcelain", "--", "bot", "handlers", "lab") else ""
    return git("rev-parse", "--short", "HEAD") + changed


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
