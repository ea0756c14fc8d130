"""The application as a process, on a free port of 127.0.0.1."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from lab.load import Target

STARTS_WITHIN_S = 20
ENDS_WITHIN_S = 10
_LISTENING = re.compile(rb"listening on 127\.0\.0\.1:(\d+)")
APP = (sys.executable, "-m", "lab.app.server")


class App:
    """`output` is what it has printed while it was waited for."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.output = b""
        self.port = 0

    @property
    def target(self) -> Target:
        return Target("127.0.0.1", self.port, "web.example.org")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def listens(self) -> None:
        while not (found := _LISTENING.search(self.output)):
            line = await asyncio.wait_for(self._lines().readline(), STARTS_WITHIN_S)
            assert line, self.output.decode()
            self.output += line
        self.port = int(found[1])

    async def says(self, text: bytes) -> None:
        while text not in self.output:
            line = await asyncio.wait_for(self._lines().readline(), STARTS_WITHIN_S)
            assert line, self.output.decode()
            self.output += line

    async def ends(self) -> int:
        """Its exit code."""
        self.output += await asyncio.wait_for(self._lines().read(), ENDS_WITHIN_S)
        return await self.process.wait()

    def _lines(self) -> asyncio.StreamReader:
        assert self.process.stdout
        return self.process.stdout


@asynccontextmanager
async def app(version: str = "1", fault: str = "", command: Sequence[str] = APP) -> AsyncIterator[App]:
    environ = {**os.environ, "VERSION": version, "FAULT": fault, "BIND": "127.0.0.1", "PORT": "0"}
    process = await asyncio.create_subprocess_exec(*command, env=environ, stdout=PIPE, stderr=STDOUT)
    try:
        yield App(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
