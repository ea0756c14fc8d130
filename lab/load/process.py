"""A load in a process of its own, so that it shares no interpreter with what is measured."""

from __future__ import annotations

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path

import lab
from lab.load.connection import Target
from lab.load.report import Report
from lab.load.workers import USUAL, Mix

ROOT = Path(lab.__file__).parent.parent
AT_MOST_S = 3600  # ends by itself if its parent dies


class LoadProcess:
    """Like `Load`; `report` is at most a fifth of a second old."""

    def __init__(self, target: Target, mix: Mix = USUAL, *, rate: float = 0) -> None:
        self.report = Report()
        address, port, host, _ = target
        options = {"seconds": AT_MOST_S, "rate": rate, "host": host, **mix._asdict()}
        self._arguments = [f"--url=http://{address}:{port}", "--json"]
        self._arguments += [f"--{name}={value}" for name, value in options.items()]
        self._process: Process | None = None
        self._reading: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Returns when requests are on their way. Raises `RuntimeError` when it cannot begin."""
        command = (sys.executable, "-m", "lab.load", *self._arguments)
        self._process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, cwd=ROOT, limit=1 << 20)
        if not await self._read():
            raise RuntimeError(f"the load ended at once with {await self._process.wait()}")
        self._reading = asyncio.create_task(self._follow())

    async def stop(self) -> Report:
        """The last report, after every open request has ended."""
        if self._process and self._reading:
            if self._process.returncode is None:
                self._process.send_signal(signal.SIGTERM)
            await self._reading
            await self._process.wait()
        return self.report

    async def _follow(self) -> None:
        while await self._read():
            pass

    async def _read(self) -> bool:
        if not self._process or not self._process.stdout or not (line := await self._process.stdout.readline()):
            return False
        self.report = Report.from_json(line)
        return True
