"""The machine's own nginx: we have one folder that nginx.conf includes, a test command and a reload command."""

from __future__ import annotations

import asyncio
import shlex

from bot.errors import NginxError
from bot.nginx import files, program
from bot.nginx.program import Verdict
from bot.nginx.server import Mode
from bot.settings import Settings


class System:
    mode: Mode = "system"

    def __init__(self, settings: Settings) -> None:
        self.sites = settings.nginx_managed_dir.resolve()
        self.slots = self.sites / "slots"  # not in the 0700 data folder: nginx's workers must be able to look
        self._test = shlex.split(settings.nginx_test_command)
        self._reload = shlex.split(settings.nginx_reload_command)

    async def prepare(self) -> bool:
        await asyncio.to_thread(files.make_folder, self.slots)
        return False

    def is_running(self) -> bool:
        return True  # the machine sees to that

    async def test(self) -> Verdict:
        return (await program.run(*self._test)).verdict

    async def reload(self) -> None:
        outcome = await program.run(*self._reload)
        if outcome.code:
            raise NginxError(
                f"`{shlex.join(self._reload)}` failed: {outcome.verdict}.", "Run it by hand, as the user that runs o8."
            )

    def refusal(self) -> str:
        return ""  # its error log belongs to root

    async def dump(self) -> str:
        dump = ["-T" if word == "-t" else word for word in self._test]
        outcome = await program.run(*dump)
        return outcome.output if outcome.code == 0 else ""

    def tidy(self) -> None:
        """Its logs are the machine's business."""

    async def shut_down(self) -> None:
        """It was not started by us."""
