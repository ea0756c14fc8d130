"""Logs in chat: the last lines, filtered, or followed for a while."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from datetime import UTC, datetime, timedelta

from bot.errors import Conflict, InvalidInput
from bot.logs import Batch, Line, while_allowed
from bot.permissions import Action
from handlers.chatops.registry import verb
from handlers.chatops.reply import Button, Reply
from handlers.chatops.talk import Talk

MOST_LINES, MOST_BYTES, PATIENCE_S = 5000, 1_000_000, 10.0
LONGEST_FOLLOW, OLDEST = timedelta(minutes=30), timedelta(days=7)
_ERRORS = re.compile(r"error|exception|fatal|panic|traceback|critical|\b5\d\d\b", re.IGNORECASE)


@verb("logs SVC [-n N] [--since DURATION] [--grep TEXT] [--errors] [--follow DURATION]", Action.VIEW_LOGS)
async def logs(
    talk: Talk, *, svc: str, n: int = 200, since: timedelta | None = None, grep: str = "", errors: bool = False,
    follow: timedelta | None = None,
) -> Reply:  # fmt: skip
    """The last lines of a service's log, without its secrets. Long ones come as a file.

    `--since 10m`: only younger ones; `--grep x`: only lines with x in them; `--errors`: only lines that look like
    trouble; `--follow 5m`: also what comes, in a thread. Example: `/o8 logs web -n 50 --grep timeout`
    """
    if not 1 <= n <= MOST_LINES:
        raise InvalidInput(f"-n is 1 to {MOST_LINES}.", f"`/o8 logs {svc} -n 200`.")
    if since and since > OLDEST:
        raise InvalidInput(f"--since goes back {OLDEST.days} days at most.", f"`/o8 logs {svc} --since 2h`.")

    def is_wanted(line: str) -> bool:
        return (not grep or grep.lower() in line.lower()) and (not errors or bool(_ERRORS.search(line)))

    begin = datetime.now(UTC) - since if since else None
    if follow:
        if follow > LONGEST_FOLLOW:
            raise InvalidInput("--follow lasts 30 minutes at most.", f"`/o8 logs {svc} --follow 5m`.")
        if (await talk.services.store.service(svc)).live is None:
            raise Conflict(f"{svc} has never been deployed, so it has no log.", f"`o8 deploy {svc}` deploys it.")

        async def check() -> None:
            await talk.services.authority.require(talk.person.actor, Action.VIEW_LOGS, svc)

        batches = while_allowed(talk.services.logs.follow(svc, tail=min(n, 20), since=begin), check)
        await talk.stage.follow(_texts(batches, is_wanted), f"Log of {svc}", follow.total_seconds())
        return Reply(f"The log of {svc} is followed in a thread for {follow.total_seconds() / 60:.0f} min.")
    tail = MOST_LINES if grep or errors else n
    source = talk.services.logs.read(svc, tail=tail, since=begin)
    lines, missing = await _newest(source, is_wanted, n)
    if not lines:
        words = f"No line of the log of {svc} fits." if grep or errors or since else f"The log of {svc} is empty."
        return Reply(words, missing)
    return Reply(
        f"{len(lines)} line{'s' * (len(lines) != 1)} of the log of {svc}.", missing, code="\n".join(lines),
        file_name=f"{svc}-{datetime.now(UTC):%Y%m%d-%H%M%S}.log",
        buttons=(Button("Only errors", f"logs {svc} --errors"), Button("Follow 5 min", f"logs {svc} --follow 5m")),
    )  # fmt: skip


async def _newest(
    source: AsyncGenerator[Line, None], is_wanted: Callable[[str], bool], most: int
) -> tuple[list[str], tuple[str, ...]]:
    """The last wanted lines, at most `most` of them and `MOST_BYTES` in all, and a sentence if some are missing."""
    lines: deque[str] = deque()
    size, is_cut = 0, False
    try:
        async with asyncio.timeout(PATIENCE_S), aclosing(source):
            async for line in source:
                if not is_wanted(line.text):
                    continue
                lines.append(line.shown)
                size += len(line.shown)
                while len(lines) > most or (size > MOST_BYTES and len(lines) > 1):
                    is_cut = is_cut or len(lines) <= most
                    size -= len(lines.popleft())
    except TimeoutError:
        return list(lines), ("Not all of it could be read in time.",)
    left_out = ("Older lines were left out, as they are too much for one answer.",)
    return list(lines), left_out if is_cut and len(lines) < most else ()


async def _texts(batches: AsyncGenerator[Batch, None], is_wanted: Callable[[str], bool]) -> AsyncGenerator[str, None]:
    """Lines that are wanted, and what o8 itself says about the log."""
    async with aclosing(batches):
        async for batch in batches:
            for line in batch.lines:
                if line.is_marker or is_wanted(line.text):
                    yield line.shown
