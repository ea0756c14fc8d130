"""Passwords: hashed with argon2id, verified off the event loop, a few at a time. Also opens the original's hashes.

https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html names the parameters.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from bot.errors import InvalidInput

T = TypeVar("T")
SHORTEST, LONGEST = 10, 1024
_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)


class Passwords:
    """`hash` and `verify` take tens of milliseconds and 19 MiB each, so two run at once at most."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="argon2")
        self._nobody = _hasher.hash("the password of nobody")

    async def hash(self, password: str) -> str:
        """Raises `InvalidInput` for one that is too short or too long."""
        if not SHORTEST <= len(password) <= LONGEST:
            raise InvalidInput(f"A password has {SHORTEST} to {LONGEST} characters.", "A sentence is a good one.")
        return await self.rehash(password)

    async def rehash(self, password: str) -> str:
        """Of a password that is in use already, however long it is."""
        return await self._run(_hasher.hash, password)

    async def verify(self, hash: str | None, password: str) -> bool:
        """Takes as long for a user who does not exist (`hash` None) as for a wrong password: names stay secret."""
        is_right = await self._run(_verify, hash or self._nobody, password)
        return is_right and hash is not None

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _run(self, work: Callable[..., T], *arguments: str) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work, *arguments)


def is_outdated(hash: str) -> bool:
    """Whether it was made with other parameters than ours, as the original's are: hash anew at the next login."""
    return _hasher.check_needs_rehash(hash)


def _verify(hash: str, password: str) -> bool:
    try:
        return _hasher.verify(hash, password)
    except (VerificationError, InvalidHashError):
        return False
