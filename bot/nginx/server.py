"""How nginx is run: the verbs of `system.py` and `embedded.py`, and the test of a copy, which both share."""

from __future__ import annotations

import asyncio
import os
import resource
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Protocol

from bot.nginx import program
from bot.nginx.files import reporting
from bot.nginx.program import Verdict
from bot.nginx.templates import render

Mode = Literal["system", "embedded"]

KEEPALIVE_MIN_TIMEOUT = (1, 27, 4)  # https://nginx.org/en/docs/http/ngx_http_core_module.html#keepalive_min_timeout
ERROR_LOG_OPTION = (1, 19, 5)
MAX_WORKERS = 2
MAX_OPEN_FILES = 16384  # 4096 visitors of each worker, twice, with room


class Server(Protocol):
    mode: Mode
    sites: Path  # the folder whose `*.conf` nginx includes
    slots: Path  # the folder of the flags

    async def prepare(self) -> bool:
        """Folders and, where it is ours, nginx.conf; True when that must be loaded anew."""

    def is_running(self) -> bool:
        """False when it is ours to start and does not run."""

    async def test(self) -> Verdict:
        """`nginx -t` on everything."""

    async def reload(self) -> None:
        """Tells nginx to load everything anew. Raises `NginxError`; success does not yet mean that it did."""

    def refusal(self) -> str:
        """Why the last reload had no effect, as far as nginx has told us; empty when it has not."""

    async def dump(self) -> str:
        """The whole configuration as nginx reads it, empty when it does not say."""

    def tidy(self) -> None:
        """Keeps its logs small. Called now and then."""

    async def shut_down(self) -> None:
        """Ends nginx where it is ours to end."""


async def rehearse(binary: str, sites: Mapping[str, str], sites_folder: Path) -> Verdict:
    """`nginx -t` on a copy: our files as they would be, with a main file of our own around them.

    Only what is wrong inside our files counts. Permissions and what other files define can differ from the real place.
    """
    with tempfile.TemporaryDirectory(prefix="o8-nginx-") as name:
        home = Path(name)
        await asyncio.to_thread(_write_copy, binary, home, sites)
        verdict = (await program.run(*command(binary, home / "nginx.conf"), "-t")).verdict
        copy = str(home / "sites")
    if verdict.is_ok or not verdict.file.startswith(copy) or "Permission denied" in verdict.sentence:
        return verdict._replace(is_ok=True)
    return verdict._replace(file=verdict.file.replace(copy, str(sites_folder)))


def main_text(binary: str, home: Path) -> str:
    """A whole nginx.conf that keeps everything below `home` and includes `home/sites/*.conf`."""
    hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    value = {
        "home": str(home),
        "sites": str(home / "sites"),
        "users": ["root"] if os.geteuid() == 0 else [],
        "workers": min(MAX_WORKERS, os.cpu_count() or 1),
        "open_files": MAX_OPEN_FILES if hard_limit < 0 else min(MAX_OPEN_FILES, hard_limit),
        "keepalive_min_timeouts": ["75s"] if program.version(binary) >= KEEPALIVE_MIN_TIMEOUT else [],
    }
    return render("nginx.conf.j2", value)


def command(binary: str, main_file: Path) -> list[str]:
    """nginx with `main_file`; what it says before it has read its configuration goes to stderr."""
    early_log = ["-e", "stderr"] if program.version(binary) >= ERROR_LOG_OPTION else []
    return [binary, *early_log, "-c", str(main_file)]


def _write_copy(binary: str, home: Path, sites: Mapping[str, str]) -> None:
    with reporting(home):
        for folder in ("sites", "temp"):
            (home / folder).mkdir()
        (home / "nginx.conf").write_text(main_text(binary, home))
        for name, text in sites.items():
            (home / "sites" / name).write_text(text)
