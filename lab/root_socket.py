"""Stands in for systemd at orchestr8-nginx.socket: each connection is answered by the unit file's own command."""

from __future__ import annotations

import asyncio
import re
import shlex
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

UNIT = Path(__file__).parent.parent / "examples" / "orchestr8-nginx@.service"


def unit_command() -> list[str]:
    """`ExecStart` as systemd would run it: https://www.freedesktop.org/software/systemd/man/systemd.service.html"""
    found = re.search(r"^ExecStart=(.*)$", UNIT.read_text(), re.MULTILINE)
    if found is None:
        raise ValueError(f"{UNIT} has no ExecStart")
    return shlex.split(found[1].replace("$$", "$"))


@asynccontextmanager
async def root_socket(home: Path, programs: dict[str, str]) -> AsyncIterator[Path]:
    """The socket's path. `programs`: what stands in for nginx and systemctl, as shell scripts by name."""
    (home / "bin").mkdir(parents=True)
    for name, text in programs.items():
        (home / "bin" / name).write_text(f"#!/bin/sh\n{text}\n")
        (home / "bin" / name).chmod(0o755)
    path = home / "root.sock"
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind(str(path))
    listening.listen()
    listening.setblocking(False)
    accepting = asyncio.create_task(_accept(listening, f"{home}/bin:/usr/sbin:/usr/bin:/bin"))
    try:
        yield path
    finally:
        accepting.cancel()
        await asyncio.gather(accepting, return_exceptions=True)
        listening.close()


async def _accept(listening: socket.socket, path: str) -> None:
    running: set[asyncio.Task[int]] = set()
    while True:
        connection, _ = await asyncio.get_running_loop().sock_accept(listening)
        with connection:
            connection.setblocking(True)
            process = await asyncio.create_subprocess_exec(
                *unit_command(),
                stdin=connection.fileno(),
                stdout=connection.fileno(),
                env={"PATH": path, "LC_ALL": "C"},
            )
        running.add(task := asyncio.create_task(process.wait()))
        task.add_done_callback(running.discard)
