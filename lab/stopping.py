"""o8 that kills itself: `python -m lab.stopping STATE MOMENT` ends with SIGKILL when a deployment gets there.

The same composition root as in production; only the checkpoint differs.
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


async def serve_until(state: State, moment: Moment) -> None:
    def checkpoint(reached: State, when: Moment) -> None:
        if (reached, when) == (state, moment):
            os.kill(os.getpid(), signal.SIGKILL)

    async with await App.start(settings.load(), checkpoint):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve_until(State(sys.argv[1]), Moment(sys.argv[2])))
