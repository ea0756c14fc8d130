"""The command line against an o8 that answers on its socket."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bot.cli import Session
from bot.cli import o8 as command
from tests.small_house import House, open_house

Run = Callable[..., Coroutine[None, None, Result]]
REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with open_house(tmp_path) as house:
        yield house


@pytest.fixture
async def running(house: House) -> House:
    """With `web` 0001 live."""
    await house.services.worker.start()
    await house.add()
    await house.deployed()
    return house


@pytest.fixture
def o8(house: House) -> Run:
    """Runs one command; in a thread, as the server lives in this one."""

    async def run(*arguments: str, input: str | None = None) -> Result:
        session = Session(lambda environ, is_verbose: None)
        line = ["--data-dir", str(house.folder), *arguments]
        return await asyncio.to_thread(CliRunner().invoke, command, line, obj=session, input=input, prog_name="o8")

    return run


def environment(folder: Path, more: dict[str, str]) -> dict[str, str]:
    """For `python -m bot` as a process of its own."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    coverage = {name: value for name, value in os.environ.items() if name.startswith(("COV_", "COVERAGE_"))}
    return kept | coverage | {"O8_DATA_DIR": str(folder), "PYTHONPATH": str(REPOSITORY), "TERM": "xterm"} | more


async def start_o8(
    *arguments: str, folder: Path, stdout: int = asyncio.subprocess.PIPE, environ: dict[str, str] | None = None
) -> asyncio.subprocess.Process:
    """`python -m bot` in `folder`, so that no `.env` of the developer is read."""
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bot", *arguments, cwd=folder, env=environment(folder, environ or {}),
        stdin=asyncio.subprocess.DEVNULL, stdout=stdout, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
