"""A whole o8 with real parts and a real Chromium; a module shares both, each test has a window of its own."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from playwright.async_api import Browser, ConsoleMessage, Dialog, Page, Request, Response, async_playwright

from lab.house import House, house
from tests.browser.window import Window
from tests.system.conftest import MakeTenant, move_in

_CHANGED = "ERR_NETWORK_CHANGED"  # Chromium drops what it loads when a container comes or goes
Open = Callable[..., Awaitable[Window]]
# Nothing that calls home: https://github.com/GoogleChrome/chrome-launcher/blob/main/docs/chrome-flags-for-tools.md
FLAGS = ("--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium() -> AsyncIterator[Browser]:
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert program, "Chromium is missing: `make setup` brings it"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def home(engine_host: str) -> AsyncIterator[House]:
    async with house() as home:
        await home.start()
        yield home


@pytest.fixture
def tenant(home: House) -> MakeTenant:
    """Makes a service of this test alone, with a first release 0001 that serves (`first=""`: without)."""

    async def make(first: str = "0001", fault: str = "", **configuration: Any) -> Any:
        return await move_in(home, first, fault, **configuration)

    return make


@pytest_asyncio.fixture(loop_scope="module")
async def window(home: House, chromium: Browser) -> AsyncIterator[Open]:
    """Opens windows at the dashboard's address; at the end no page may have complained, or asked another host."""
    complaints: list[str] = []
    async with AsyncExitStack() as open_ones:

        async def open_one(name: str = "admin", password: str = "", **more: Any) -> Window:
            context = await chromium.new_context(base_url=f"http://127.0.0.1:{home.port}", **more)
            open_ones.push_async_callback(context.close)
            page = await context.new_page()
            page.set_default_timeout(30_000)
            _listen(page, complaints)
            found = Window(page)
            if name:
                await found.log_in(name, password or home.password)
            return found

        yield open_one
    assert complaints == []


def _listen(page: Page, complaints: list[str]) -> None:
    retries: set[asyncio.Future[Response | None]] = set()

    def hear(said: ConsoleMessage) -> None:
        is_refusal = "responded with a status of 4" in said.text  # which Chromium notes, and a test looks at
        if said.type in ("error", "warning") and not is_refusal and _CHANGED not in said.text:
            complaints.append(said.text)

    def watch(asked: Request) -> None:
        if urlsplit(asked.url).hostname not in ("127.0.0.1", None):
            complaints.append(f"asked {asked.url}")

    def try_again(asked: Request) -> None:
        if _CHANGED in (asked.failure or "") and asked.is_navigation_request() and asked.method == "GET":
            retries.add(task := asyncio.ensure_future(page.goto(asked.url)))
            task.add_done_callback(retries.discard)

    async def agree(dialog: Dialog) -> None:
        await dialog.accept()

    page.on("console", hear)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", agree)
    page.on("request", watch)
    page.on("requestfailed", try_again)
