"""Socket Mode: the same conversation, over a WebSocket that o8 has opened."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from lab.slack import FakeSlack
from lab.waiting import until
from tests.slack.conftest import office_in

pytestmark = pytest.mark.slow


async def test_the_same_conversation_goes_through_the_socket(slack: FakeSlack, tmp_path: Path) -> None:
    async with office_in(slack, tmp_path, by_socket=True) as office:
        assert "web has never been deployed" in await office.says(office.ada, "status web")
        await office.driver.command(office.root, "/o8", "env set web TOKEN")
        await office.driver.submit(office.root, await office.view(office.root), {"value": "x"})
        assert "TOKEN of web is set" in await office.told(office.root)
        await office.driver.mention(office.ada, "deployments", "whoami")
        await office.says(office.ada, "deploy web 0003")
        await office.driver.click(office.ada, await office.card("web 0003"), "Cancel")
        await office.card("web 0003", "was cancelled")


async def test_in_socket_mode_nothing_is_taken_over_http(slack: FakeSlack, tmp_path: Path) -> None:
    async with office_in(slack, tmp_path, by_socket=True) as office:
        office.driver._by_socket = False
        assert (await office.driver.url_verification("x")).status == 404


async def test_a_socket_that_breaks_is_opened_again(slack: FakeSlack, tmp_path: Path) -> None:
    async with office_in(slack, tmp_path, by_socket=True) as office:
        await slack.sockets[0].close()

        async def is_back() -> bool:
            return bool(slack.sockets) and not slack.sockets[-1].closed

        await until(is_back, 20)
        assert "You are ada" in await office.says(office.ada, "whoami")


async def test_the_end_leaves_nothing_running(slack: FakeSlack, tmp_path: Path) -> None:
    before = asyncio.all_tasks()
    async with office_in(slack, tmp_path, by_socket=True) as office:
        await office.says(office.ada, "whoami")

    async def left() -> bool:
        return not {task for task in asyncio.all_tasks() - before if "slack" in repr(task).lower() and not task.done()}

    assert await until(left)
