"""`python -m lab.demo [--once]`: starts everything, tells the story, ends everything."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import click

from bot.errors import O8Error
from lab.demo import commands, needs
from lab.demo.channel import Channel
from lab.demo.screen import Screen, Seen
from lab.demo.story import Story
from lab.engine import ensure_engine
from lab.house import House, house
from lab.images import remove_repository
from lab.load import LoadProcess, Target
from lab.slack import fake_slack

INTERRUPTED = 130  # before the story began
RATE = 300  # requests per second of the visitors
SERVICE = f"demo-{os.getpid()}"  # container names are the machine's: another o8 may have a `web`
HOST = f"{SERVICE}.localhost"  # browsers look for every *.localhost on this machine


@click.command()
@click.option("--once", is_flag=True, help="End by itself: with 0 only if everything was seen.")
@click.option("--host", default=HOST, hidden=True, help="The site that visitors ask; another one proves their count.")
def main(once: bool, host: str) -> None:
    """Shows what o8 does, on this machine, in a scratch folder, without touching anything else."""
    if lacking := needs.missing():
        click.echo("The demo cannot start:\n" + "\n".join(f"  - {each}" for each in lacking), err=True)
        sys.exit(2)
    sys.exit(asyncio.run(_until_signal(once, host)))


async def _until_signal(once: bool, host: str) -> int:
    """The exit code. SIGINT and SIGTERM end the story, and only once: what was started is ended in peace."""
    telling = asyncio.create_task(_tell(once, host))
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, _cancel_once(telling))
    try:
        return await telling
    except asyncio.CancelledError:
        return INTERRUPTED
    except (O8Error, RuntimeError) as trouble:
        click.echo(f"The demo cannot start: {trouble}", err=True)
        return 1


async def _tell(once: bool, host: str) -> int:
    seen: list[Seen] = []
    with Screen() as screen:
        screen.live("starting a registry, nginx and o8")
        async with _everything(host) as (home, channel, load):
            with suppress(asyncio.CancelledError):  # Ctrl-C is how it is meant to end
                story = Story(home, channel, SERVICE, HOST, screen, load)
                seen = await story.play()
                screen.table(seen)
                if not once:
                    _invite(screen, home)
                    await story.go_on()
            screen.live("ending")
            report = await load.stop()
    click.echo(f"demo: {report.requests} requests, {report.failed} failed")
    return 0 if seen and all(each.is_so for each in seen) and not (once and report.failed) else 1


def _cancel_once(task: asyncio.Task[int]) -> Callable[[], None]:
    def cancel() -> None:
        if not task.cancelling():
            task.cancel()

    return cancel


@asynccontextmanager
async def _everything(host: str) -> AsyncIterator[tuple[House, Channel, LoadProcess]]:
    """A house with o8 running, its Slack, and visitors who ask `host`; nothing of it is left afterwards."""
    engine = ensure_engine()
    try:
        # Polled so seldom, every release comes by a delivery.
        async with fake_slack() as slack, house(None, POLL_INTERVAL="86400", **slack.environ) as home:
            await home.start()
            channel = Channel(home, slack)
            await channel.open()
            load = LoadProcess(Target("127.0.0.1", home.http_port, host), rate=RATE)
            try:
                yield home, channel, load
            finally:
                await load.stop()
        remove_repository(engine.host, home.registry.image(f"acme/{SERVICE}"))
    finally:
        engine.stop()


def _invite(screen: Screen, home: House) -> None:
    screen.title(f"Everything keeps running until Ctrl-C: http://{HOST}:{home.http_port}/")
    screen.say("In a second terminal, try:")
    for line in commands.to_try(home, SERVICE, HOST):
        screen.command(line)


if __name__ == "__main__":
    main()
