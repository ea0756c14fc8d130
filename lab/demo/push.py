"""What a team and GitHub do together: an image goes to the registry, a signed webhook goes to o8.

While the demo runs, `python -m lab.demo.push 0005` does it once more; `--fault exit1` pushes a broken one.
"""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import NamedTuple, Self

import click

from lab import github
from lab.app.faults import FAULTS
from lab.app.image import app_image
from lab.house import House
from lab.registry import PASSWORD, USER

FILE = "team.json"


class Team(NamedTuple):
    """Where a push goes: the image, and o8's webhook with its secret."""

    engine_host: str
    image: str
    webhook: str
    secret: str

    @classmethod
    def of(cls, house: House, service: str) -> Self:
        """The one that pushes `service`; left in the house's folder for `load`."""
        team = cls(
            house.engine_host, house.registry.image(f"acme/{service}"),
            f"http://127.0.0.1:{house.port}/webhooks/github", house.secret,
        )  # fmt: skip
        (house.folder / FILE).write_text(json.dumps(team))
        return team

    @classmethod
    def load(cls, folder: Path) -> Self:
        return cls(*json.loads((folder / FILE).read_text()))

    async def push(self, tag: str, fault: str = "") -> github.Answer:
        """What o8 answers to the delivery. Takes about a second."""
        account = (USER, PASSWORD)
        made = await asyncio.to_thread(
            app_image, self.engine_host, self.image, tag, version=tag, fault=fault, account=account
        )
        return await github.deliver(self.webhook, self.secret, github.push(self.image, tag, made.digest))


@click.command()
@click.argument("tag")
@click.option("--fault", default="", help=f"what is wrong with it: {', '.join(FAULTS)}")
def main(tag: str, fault: str) -> None:
    """Pushes TAG to the running demo that O8_DATA_DIR belongs to."""
    folder = Path(os.environ.get("O8_DATA_DIR", "")).parent
    if not (folder / FILE).exists():
        raise click.ClickException("O8_DATA_DIR names no running demo; the demo prints the line to set it.")
    answer = asyncio.run(Team.load(folder).push(tag, fault))
    click.echo(f"o8 answers {answer.status}: {json.dumps(answer.body)}")


if __name__ == "__main__":
    main()
