"""The machine's own nginx: we have one folder that nginx.conf includes, and two ways to have root test and reload.

Over `NGINX_SOCKET`, where a unit of root's answers (examples/orchestr8-nginx.socket), or by commands (sudo).
"""

from __future__ import annotations

import asyncio
import shlex

from bot.errors import NginxError
from bot.nginx import files, program
from bot.nginx.program import Outcome, Verdict
from bot.nginx.server import Mode
from bot.settings import Settings


class System:
    mode: Mode = "system"

    def __init__(self, settings: Settings) -> None:
        self.sites = settings.nginx_managed_dir.resolve()
        self.slots = self.sites / "slots"  # not in the 0700 data folder: nginx's workers must be able to look
        self._socket = settings.nginx_socket
        test = shlex.split(settings.nginx_test_command)
        self._commands = {
            "test": test,
            "dump": ["-T" if word == "-t" else word for word in test],
            "reload": shlex.split(settings.nginx_reload_command),
        }

    async def prepare(self) -> bool:
        await asyncio.to_thread(files.make_folder, self.slots)
        return False

    def is_running(self) -> bool:
        return True  # the machine sees to that

    async def test(self) -> Verdict:
        return (await self._do("test")).verdict

    async def reload(self) -> None:
        outcome = await self._do("reload")
        if outcome.code and self._socket:
            raise NginxError(f"nginx was not reloaded: {outcome.verdict}.", "`systemctl status nginx` says more.")
        if outcome.code:
            command = shlex.join(self._commands["reload"])
            raise NginxError(f"`{command}` failed: {outcome.verdict}.", "Run it by hand, as the user that runs o8.")

    def refusal(self) -> str:
        return ""  # its error log belongs to root

    async def dump(self) -> str:
        outcome = await self._do("dump")
        return outcome.output if outcome.code == 0 else ""

    def tidy(self) -> None:
        """Its logs are the machine's business."""

    async def shut_down(self) -> None:
        """It was not started by us."""

    async def _do(self, word: str) -> Outcome:
        return await program.ask(self._socket, word) if self._socket else await program.run(*self._commands[word])
