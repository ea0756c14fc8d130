"""o8 that kills itself: `python -m lab.stopping STATE MOMENT [TIME]` ends with SIGKILL when a deployment gets there.

TIME 2 lets the first deployment pass and ends with the second (default: 1). The same composition root as in
production; only the checkpoint differs.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from bot import settings
from bot.app import App
from bot.models import State
from bot.run import Moment


def command(state: State, moment: Moment, time: int = 1) -> tuple[str, ...]:
    """For `House.start`."""
    return (sys.executable, "-m", "lab.stopping", state, moment, str(time))


async def serve_until(state: State, moment: Moment, time: int) -> None:
    times = 0

    def checkpoint(reached: State, when: Moment) -> None:
        nonlocal times
        times += (reached, when) == (state, moment)
        if times == time:
            os.kill(os.getpid(), signal.SIGKILL)

    async with await App.start(settings.load(), checkpoint):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve_until(State(sys.argv[1]), Moment(sys.argv[2]), int((*sys.argv[3:], "1")[0])))
