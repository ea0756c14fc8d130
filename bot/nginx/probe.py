"""Asks nginx itself what it serves: both `nginx -t` and a reload can return 0 with the new text not live.

`shared.conf.j2` has a server that answers with the number of the generation it belongs to.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from bot.errors import NotLive
from bot.nginx import workers
from bot.nginx.program import advice

HOST = "o8-generation.invalid"
CONFIRM_S = 10.0
ANSWER_S = 2.0
IN_A_ROW = 5  # answers
PAUSE_S = 0.02
_ANSWER = re.compile(rb"HTTP/1\.1 200 .*\r\n\r\n(\d+) (yes|no) (\d+)$", re.DOTALL)


class Served(NamedTuple):
    generation: int
    can_stat_slots: bool  # the workers' user may look at the flags
    worker: int  # process id


class Probe:
    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port

    async def ask(self) -> Served | None:
        """What is live, on a fresh connection; None when nothing answers there, or something that is not ours."""
        found = _ANSWER.match(await self._answer())
        return Served(int(found[1]), found[2] == b"yes", int(found[3])) if found else None

    async def is_answering(self) -> bool:
        """Whether anything at all speaks HTTP at the sites' port."""
        return (await self._answer()).startswith(b"HTTP/")

    async def workers(self) -> frozenset[int]:
        """The processes that serve now; after a reload they are the old ones."""
        served = await self.ask()
        return workers.siblings(served.worker) if served else frozenset()

    async def confirm(self, generation: int, old_workers: frozenset[int], refusal: Callable[[], str]) -> None:
        """Returns once every new connection gets `generation`; raises `NotLive`.

        `refusal`: nginx's reason for not taking the new text, as soon as it is known; empty until then.
        """
        reason = ""
        with suppress(TimeoutError):
            async with asyncio.timeout(CONFIRM_S):
                while not (reason := refusal()):
                    if await self._serves_only(generation) and not workers.accepting(old_workers):
                        return
                    await asyncio.sleep(PAUSE_S)
        raise await self._not_live(reason)

    async def _serves_only(self, generation: int) -> bool:
        for _ in range(IN_A_ROW):
            served = await self.ask()
            if served is None or served.generation != generation:
                return False
        return True

    async def _not_live(self, reason: str) -> NotLive:
        if reason:
            return NotLive(f"nginx did not take the new configuration: {reason}.", advice(reason))
        if await self.ask():
            return NotLive("nginx was reloaded but still serves the old configuration.", "Look into its error log.")
        if await self.is_answering():
            return NotLive(
                f"What answers at {self._host}:{self._port} does not serve o8's sites.",
                "nginx.conf must have `include <NGINX_MANAGED_DIR>/*.conf;` in its http block; "
                "NGINX_LISTEN and NGINX_HTTP_PORT must be where it listens.",
            )
        return NotLive(f"No nginx answers at {self._host}:{self._port}.", "Start nginx; `o8 doctor` says more.")

    async def _answer(self) -> bytes:
        writer = None
        try:
            async with asyncio.timeout(ANSWER_S):
                reader, writer = await asyncio.open_connection(self._host, self._port)
                writer.write(f"GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode())
                return await reader.read()
        except OSError:  # also when it takes too long
            return b""
        finally:
            if writer is not None:
                writer.close()
