"""o8 is small, and as small after a login as before it."""

from __future__ import annotations

import subprocess
import sys

import pytest

LOGINS = """
import asyncio
from pathlib import Path
from bot import memory
from bot.passwords import Passwords

def used():
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines["RssAnon"].split()[0]) / 1024

async def main():
    before = used()
    words = Passwords()
    for _ in range(3):
        await words.hash("a long password")
    print(used() - before)
    words.close()

{first}
asyncio.run(main())
"""


def kept_mb(first: str) -> float:
    """What is left of the memory of some logins."""
    done = subprocess.run(
        (sys.executable, "-c", LOGINS.format(first=first)), capture_output=True, text=True, check=True
    )
    return float(done.stdout)


@pytest.mark.slow
def test_the_memory_of_a_login_goes_back_to_the_system() -> None:
    assert kept_mb("memory.give_back_large_blocks()") < 8
    assert kept_mb("") > 15, "the control: by itself the C library keeps it"


@pytest.mark.slow
def test_o8_does_not_carry_about_what_not_everybody_needs() -> None:
    """Each of these takes megabytes, and is imported by the first who needs it."""
    rare = {"cryptography", "prometheus_client", "rich", "slack_bolt", "slack_sdk"}
    code = f"import sys, bot.__main__, bot.app; print(*{rare} & set(sys.modules))"
    done = subprocess.run((sys.executable, "-c", code), capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
