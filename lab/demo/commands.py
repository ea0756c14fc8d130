"""The `o8` command as people type it, and what the demo offers to try."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from lab.house import House

ROOT = Path(__file__).parents[2]


async def run(data: Path, *arguments: str) -> str:
    """What `o8 ...` prints, its errors too."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bot", *arguments, cwd=ROOT, env=os.environ | {"O8_DATA_DIR": str(data)},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate()
    return output.decode(errors="replace")


def to_try(house: House, service: str, host: str) -> list[str]:
    """Lines for a second terminal in this folder."""
    python = _short(Path(sys.executable))
    command = Path(sys.executable).with_name("o8")
    o8 = _short(command) if command.exists() else f"{python} -m bot"
    return [
        f"cd {ROOT}; export O8_DATA_DIR={house.data}",
        f"{o8} status",
        f"{o8} deployments {service}",
        f"{o8} logs {service} --tail 5",
        f"{o8} restart {service}",
        f"{o8} rollback {service}",
        f"{o8} resume {service}",
        f"{python} -m lab.demo.push 0005",
        f"{python} -m lab.demo.push 0006 --fault health_500",
        f"curl -H 'Host: {host}' http://127.0.0.1:{house.http_port}/",
        f"{o8} doctor",
        f"# the dashboard: http://127.0.0.1:{house.port}/ui/  admin  {house.password}",
    ]


def _short(program: Path) -> str:
    return str(program.relative_to(ROOT)) if program.is_relative_to(ROOT) else str(program)
