"""`python -m bot` and the `o8` command. Without arguments, `python -m bot` is `o8 serve`."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Mapping, Sequence

from bot import cli, memory, supervisor
from bot.errors import O8Error
from bot.settings import Settings, load
from bot.version import version

# So long whoever starts the unit waits for nginx and Docker: `o8 doctor` right after it tells of no beginnings.
SETTLE_S = 10.0
_log = logging.getLogger("o8")


def main(arguments: Sequence[str] | None = None) -> None:
    """The `o8` command; ends the process."""
    cli.run(arguments, serve)


def serve(environ: Mapping[str, str], is_verbose: bool) -> None:
    """Runs o8 until SIGTERM or SIGINT. Raises `SettingsError`, `AlreadyRunning`, `StoreUnavailable`, `O8Error`."""
    memory.give_back_large_blocks()
    settings = load(environ)
    _log_to_stderr(is_verbose)
    asyncio.run(_serve(settings, environ.get("NOTIFY_SOCKET", "")))


async def _serve(settings: Settings, notify_socket: str) -> None:
    from bot.app import App  # late: the other commands should not wait for Docker's and aiohttp's modules

    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    try:
        app = await App.start(settings)
    except OSError as error:
        raise O8Error(
            f"o8 cannot listen on {settings.bind}:{settings.port}: {error.strerror or error}.",
            "Is the port taken? PORT and BIND choose another.",
        ) from None
    async with app:
        _log.info("o8 %s serves %s, data in %s", version(), f"{settings.bind}:{settings.port}", settings.o8_data_dir)
        if not settings.webhook_secrets:
            _log.warning("webhook endpoint is off: GITHUB_WEBHOOK_SECRET is not set")
        await _first_of(stopping, app.settled)
        supervisor.tell(notify_socket, "READY=1")
        await stopping.wait()
        supervisor.tell(notify_socket, "STOPPING=1")
        _log.info("o8 stops; sites stay up")


async def _first_of(*events: asyncio.Event) -> None:
    """Returns when one is set, or after `SETTLE_S`."""
    waiting = [asyncio.create_task(event.wait()) for event in events]
    await asyncio.wait(waiting, timeout=SETTLE_S, return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()


class _OneLine(logging.Formatter):
    """One line for each event, whatever a name or an error holds; only o8's own faults bring a traceback."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        record.message = record.message.replace("\r", "\\r").replace("\n", "\\n").replace("\x1b", "\\x1b")
        return super().formatMessage(record)


def _log_to_stderr(is_verbose: bool) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(_OneLine("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.DEBUG if is_verbose else logging.INFO, handlers=[handler])
    logging.getLogger("asyncio").setLevel(logging.INFO)


if __name__ == "__main__":
    main(sys.argv[1:] or ["serve"])
