"""`python -m lab.load --url http://127.0.0.1:8080 --host web.example.org`: exits 1 when anything failed."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import urlsplit

import click

from lab.load.connection import Target
from lab.load.report import Report
from lab.load.workers import Load, Mix

REPORT_EVERY_S = 0.2


def mix_options(command: Callable[..., None]) -> Callable[..., None]:
    for name, count in reversed(Mix()._asdict().items()):
        command = click.option(f"--{name}", default=count, show_default=True, help=f"{name} workers")(command)
    return command


@click.command()
@click.option("--url", required=True, help="where to connect, such as http://127.0.0.1:8080")
@click.option("--host", default="", help="Host header; default: that of the URL")
@click.option("--seconds", default=10.0, show_default=True, help="how long; SIGTERM and Ctrl-C end it earlier")
@click.option("--rate", default=0.0, show_default=True, help="requests per second, 0: as fast as possible")
@click.option("--json", "as_json", is_flag=True, help="a report as one line of JSON five times a second")
@mix_options
def main(url: str, host: str, seconds: float, rate: float, as_json: bool, **mix: int) -> None:
    """Puts load on a site and counts what a visitor would have noticed."""
    place = urlsplit(url)
    target = Target(place.hostname or "127.0.0.1", place.port or 80, host or place.netloc)
    report = asyncio.run(run(Load(target, Mix(**mix), rate=rate), seconds, as_json))
    click.echo(report.to_json() if as_json else str(report))
    sys.exit(1 if report.failed else 0)


async def run(load: Load, seconds: float, as_json: bool) -> Report:
    """The last report, after `seconds` or a signal."""
    ending = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ending.set)
    load.start()
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while not ending.is_set():
                if as_json:
                    click.echo(load.report.to_json())
                with suppress(TimeoutError):
                    await asyncio.wait_for(ending.wait(), REPORT_EVERY_S)
    return await load.stop()


if __name__ == "__main__":
    main()
