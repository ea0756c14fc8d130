"""`o8 available` and `o8 versions`."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from tests.cli.conftest import Run
from tests.small_house import House
from tests.stock import digest_of, listed, many

pytestmark = pytest.mark.slow
WEB = "ghcr.io/acme/web"
NO_TOKEN = "GitHub's packages are not listed: set `GITHUB_PAT`, a classic token with `read:packages`."


async def test_nothing_to_install_says_what_to_do(house: House, o8: Run) -> None:
    answer = await o8("available")
    assert answer.output.splitlines() == [
        "Nothing to install: every image that o8 knows is used by a service, or dismissed.", NO_TOKEN
    ]  # fmt: skip


async def test_two_hundred_packages_are_listed_in_part_or_whole(house: House, o8: Run) -> None:
    images = await many(house, 200)
    lines = (await o8("available", "-n", "3")).output.splitlines()
    assert lines[0].split() == ["Image", "Newest", "tag", "Pushed", "Repository"]
    assert [line.split()[0] for line in lines[1:4]] == images[:3] and lines[1].split()[-1] == "acme/site"
    assert lines[4] == "And 197 more: `--all` shows them."
    assert [line.split()[0] for line in (await o8("available", "--all")).output.splitlines()[1:-1]] == images
    whole = json.loads((await o8("available", "--all", "--json")).output)
    assert [each["image"] for each in whole["packages"]] == images and whole["next"] is None


async def test_the_pages_of_all_become_one(house: House, o8: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.cli.packages._PAGE", 7)
    images = await many(house, 20)
    whole = json.loads((await o8("available", "--all", "--json")).output)
    assert [each["image"] for each in whole["packages"]] == images


async def test_versions_say_what_runs_and_what_is_newer(running: House, o8: Run) -> None:
    live = (await running.services.store.deployments("web"))[0]
    an_hour = datetime.now(UTC) - timedelta(hours=3)
    await listed(running, WEB, ("0001",), ("0002", "latest"), pushed_at=an_hour, digests={"0001": live.digest})
    newer, runs = (await o8("versions", "web")).output.splitlines()[1:3]
    assert newer.split() == ["0002,", "latest", digest_of(WEB, "0002")[7:19], "3", "h", "ago", "-", "newest,", "newer"]
    assert runs.split() == ["0001", live.digest[7:19], "3", "h", "ago", "40.0", "MB", "runs,", "kept", "here"]
    last = (await o8("versions", "web", "-n", "1")).output.splitlines()[2:]
    assert last[0] == "And 1 more: `--all` shows them." and last[1].startswith(NO_TOKEN)


async def test_versions_of_an_image_that_github_does_not_list(running: House, o8: Run) -> None:
    lines = (await o8("versions", "web")).output.splitlines()
    assert lines[1].split()[:1] == ["0001"] and lines[-1].startswith("These are the registry's tags;")
    assert (await o8("versions", "gone")).exit_code == 3


async def test_a_hostile_name_cannot_steer_the_terminal(house: House, o8: Run) -> None:
    evil = "acme/\x1b]0;evil\x07[red]x[/red]\u202e\nnext"
    await listed(house, "ghcr.io/acme/blog", ("0001",), repository=evil)
    output = (await o8("available")).output
    assert "\x1b" not in output and "\x07" not in output and "\u202e" not in output
    assert "[red]x[/red]" in output, "markup is text"
    assert len(output.splitlines()) == 3
