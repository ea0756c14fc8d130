"""An nginx of our own, below the data folder, without root. It outlives o8, which finds it again by its pid file."""

from __future__ import annotations

import asyncio
import os
import select
import signal
from contextlib import suppress
from pathlib import Path

from bot.errors import NginxError
from bot.nginx import files, program, server, workers
from bot.nginx.program import Verdict
from bot.nginx.server import Mode
from bot.settings import Settings

MAX_LOG_BYTES = 64 * 1024 * 1024  # of each log, twice: the current one and the one before
QUIT_S = 5.0  # for open requests; WebSockets would take longer


class Embedded:
    mode: Mode = "embedded"

    def __init__(self, settings: Settings) -> None:
        self._home = settings.o8_data_dir.resolve() / "nginx"
        self.sites = self._home / "sites"
        self.slots = self._home / "slots"
        self._wanted_binary = settings.nginx_binary
        self._main_file = self._home / "nginx.conf"
        self._error_log = self._home / "error.log"
        self._log_position = 0

    async def prepare(self) -> bool:
        for folder in (self.sites, self.slots, self._home / "temp"):
            await asyncio.to_thread(files.make_folder, folder)
        text = server.main_text(self._binary, self._home)
        if self._main_file.exists() and self._main_file.read_text() == text:
            return False
        await asyncio.to_thread(files.write, self._main_file, text)
        return True

    def is_running(self) -> bool:
        return bool(self.pid())

    async def test(self) -> Verdict:
        return (await self._run("-t")).verdict

    async def reload(self) -> None:
        """Starts nginx when it does not run."""
        self._log_position = self._error_log.stat().st_size if self._error_log.exists() else 0
        if pid := self.pid():
            os.kill(pid, signal.SIGHUP)
            return
        workers.quit_orphans(self._error_log)
        outcome = await self._run()
        if outcome.code:
            raise NginxError(f"nginx does not start: {outcome.verdict}.", program.advice(outcome.output))

    def refusal(self) -> str:
        if not self._error_log.exists():
            return ""
        with self._error_log.open("rb") as log:
            log.seek(self._log_position)
            found = program.emergencies(log.read().decode(errors="replace"))
        # A taken port is tried five times, which takes 2.5 seconds; then nginx gives up with another sentence.
        final = [sentence for sentence in found if not sentence.startswith("bind()")]
        return found[0] if final else ""

    async def dump(self) -> str:
        outcome = await self._run("-T")
        return outcome.output if outcome.code == 0 else ""

    def tidy(self) -> None:
        """Moves logs that have grown aside and has nginx open new ones."""
        with files.reporting(self._home):
            big = [log for log in self._home.glob("*.log") if log.stat().st_size > MAX_LOG_BYTES]
            for log in big:
                log.replace(log.with_suffix(".log.1"))
        if big and (pid := self.pid()):
            os.kill(pid, signal.SIGUSR1)

    async def shut_down(self) -> None:
        """Lets open requests end for `QUIT_S` seconds."""
        for number in (signal.SIGQUIT, signal.SIGTERM, signal.SIGKILL):
            if pid := self.pid():
                os.kill(pid, number)
                await asyncio.to_thread(_wait_for_end, pid)

    def pid(self) -> int:
        """Of the running master process, if it is really ours; 0 when there is none."""
        with suppress(OSError, ValueError):
            pid = int((self._home / "nginx.pid").read_text())
            if os.fsencode(self._main_file) in Path(f"/proc/{pid}/cmdline").read_bytes():
                return pid
        return 0

    @property
    def _binary(self) -> str:
        return program.find(self._wanted_binary)

    async def _run(self, *options: str) -> program.Outcome:
        return await program.run(*server.command(self._binary, self._main_file), *options)


def _wait_for_end(pid: int) -> None:
    """Returns when the process has ended, after `QUIT_S` seconds at the latest."""
    with suppress(ProcessLookupError):
        handle = os.pidfd_open(pid)
        try:
            select.select([handle], [], [], QUIT_S)
        finally:
            os.close(handle)
