"""Whether the API keeps what its description says: `make contract` (MINUTES=10). schemathesis makes up the requests.

o8 is real but for Docker, nginx and the registry (tests/small_house.py): what is removed is pretence, and `web` is put
back again and again.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from bot.errors import O8Error
from bot.logins import Failures, Logins
from bot.models import Kind, Wanted
from bot.permissions import GLOBAL, Action
from lab import results
from tests.small_house import House, open_house

ADMIN, PASSWORD = "admin", "the password of the contract"
# Why: endless answers have no end to be checked; the docs and tests of streams are tests/handlers/test_events.py.
ENDLESS = r"/events$|/logs/ws$"
CHECKS = "all"
_LEFT_OUT = {
    "positive_data_acceptance": "no schema says which keys were used before, or which values fit together",
}


class Outcome(NamedTuple):
    """`text` is what schemathesis printed."""

    status: int
    text: str

    @property
    def is_kept(self) -> bool:
        return self.status == 0


async def check(url: str, seconds: int, seed: int, folder: Path, description: str = "") -> Outcome:
    """One run against the o8 at `url`, by what it says of itself or by another `description`, a file."""
    command = (
        sys.executable, "-m", "schemathesis.cli", "run", description or f"{url}/api/v1/openapi.json",
        "--url", url, "--max-time", str(seconds),
        "--auth", f"{ADMIN}:{PASSWORD}", "--checks", CHECKS, "--exclude-checks", ",".join(_LEFT_OUT),
        "--exclude-path-regex", ENDLESS, "--continue-on-failure", "--request-timeout", "20",
        "--seed", str(seed), "--no-color", "--warnings", "off",
    )  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env=os.environ | {"SCHEMATHESIS_HOOKS": "lab.contract_hooks", "PYTHONPATH": str(results.ROOT)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    return Outcome(process.returncode or 0, output.decode(errors="replace"))


@asynccontextmanager
async def described(folder: Path) -> AsyncIterator[tuple[House, str]]:
    """An o8 with something to ask about, and its address."""
    async with open_house(folder, auth_password=PASSWORD) as house:
        await house.services.logins.first_password()
        _never_slow_down(house.services.logins)
        await house.services.worker.start()
        await _fill(house)
        keeper = asyncio.create_task(_keep(house))
        try:
            yield house, await house.open_to_all()
        finally:
            keeper.cancel()
            with suppress(asyncio.CancelledError):
                await keeper


def _never_slow_down(logins: Logins) -> None:
    """Wrong logins by the thousand are the trade of who tries whether they are refused."""
    logins._failures = {key: Failures(10**9, 0) for key in logins._failures}


async def _fill(house: House) -> None:
    await house.add("web")
    await house.deployed("web", "0001")
    await house.services.store.add_user("ada", "", [(Action.DEPLOY, GLOBAL)], "o8")


async def _keep(house: House) -> None:
    """There is a `web`, with something that waits for approval."""
    while True:
        await asyncio.sleep(1)
        with suppress(O8Error):
            if "web" not in await house.services.store.service_names():
                await house.add("web")
            waiting = [each for each in await house.services.store.pending() if each.service == "web"]
            if not waiting:
                await house.services.store.want(
                    Wanted(service="web", kind=Kind.DEPLOY, actor="cli:nobody", tag="0001", needs_approval=True)
                )


async def run(seconds: int, seed: int) -> Outcome:
    with tempfile.TemporaryDirectory() as folder:
        async with described(Path(folder)) as (_, url):
            return await check(url, seconds, seed, Path(folder))


def told(outcome: Outcome, seconds: int, seed: int) -> str:
    """What is worth keeping of a run."""
    begin = outcome.text.find("= SUMMARY =")
    summary = outcome.text[outcome.text.rfind("\n", 0, begin) + 1 :] if begin >= 0 else outcome.text[-4000:]
    summary = re.sub(r"http://127\.0\.0\.1:\d+", "http://o8", summary)
    left_out = "\n".join(f"left out: {name}, as {why}" for name, why in _LEFT_OUT.items())
    verdict = "kept" if outcome.is_kept else "BROKEN"
    return (
        f"{seconds} s, seed {seed}; endless answers left out ({ENDLESS})\n{left_out}\n\n{summary}\ncontract: {verdict}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    seconds, begun_at = int(chosen.minutes * 60), results.commit()
    outcome = asyncio.run(run(seconds, chosen.seed))
    command = f"make contract MINUTES={chosen.minutes:g} SEED={chosen.seed}"
    results.write("contract", command, told(outcome, seconds, chosen.seed), begun_at)
    if not outcome.is_kept:
        print(outcome.text)
        raise SystemExit(1)


if __name__ == "__main__":
    main()
