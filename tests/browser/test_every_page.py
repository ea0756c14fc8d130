"""Every page, in light and dark, on a screen and on a phone: nothing for axe to complain about, nothing cut off.

https://github.com/dequelabs/axe-core finds what can be found by a program of the rules of WCAG.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import axe_playwright_python
import pytest
import pytest_asyncio
from playwright.async_api import Browser

from handlers.web import ROUTES
from tests.browser.window import Window
from tests.handlers.visiting import PASSWORD
from tests.small_house import open_house
from tests.web.scenery import ADMIN, furnish

pytestmark = [pytest.mark.parts, pytest.mark.asyncio(loop_scope="module")]
AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()


def _place(path: str) -> str:
    """Of a page about something, one that is there."""
    if "/users/" in path:
        return path.replace("{name}", ADMIN)
    return path.replace("{name}", "web").replace("{id}", "16")


PAGES = sorted({_place(r.path) for r in ROUTES if r.method == "GET" and ":" not in r.path})
PAGES.append("/ui/services/web/environment?edit=1")
SCREENS: dict[str, dict[str, Any]] = {
    "light screen": {"color_scheme": "light", "viewport": {"width": 1280, "height": 800}},
    "dark phone": {"color_scheme": "dark", "viewport": {"width": 390, "height": 844}},
}


# What docs/dashboard.md shows; `make pictures` takes them anew.
PICTURES = {
    ("light screen", "/ui/"): "services", ("light screen", "/ui/services/web"): "service",
    ("light screen", "/ui/deployments/16"): "deployment", ("light screen", "/ui/services/web/logs"): "log",
    ("light screen", f"/ui/users/{ADMIN}"): "user", ("dark phone", "/ui/"): "services-phone",
    ("dark phone", "/ui/services/web"): "service-phone",
}  # fmt: skip


class Gallery(NamedTuple):
    chromium: Browser
    url: str


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gallery(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gallery]:
    async with open_house(tmp_path_factory.mktemp("gallery")) as house:
        await furnish(house)
        yield Gallery(chromium, await house.open_to_all())


@pytest.mark.parametrize("screen", SCREENS)
async def test_every_page_can_be_read_by_everybody(gallery: Gallery, screen: str) -> None:
    # Our own policy forbids what axe needs: a script inside the page. What is looked at stays the same.
    context = await gallery.chromium.new_context(base_url=gallery.url, bypass_csp=True, **SCREENS[screen])
    window = Window(await context.new_page())
    await window.log_in(ADMIN, PASSWORD)
    found: list[str] = []
    for path in PAGES:
        await window.page.goto(path)
        found += [f"{path}: {complaint}" for complaint in await _complaints(window)]
        if (folder := os.environ.get("O8_PICTURES")) and (screen, path) in PICTURES:
            await window.page.screenshot(path=Path(folder) / f"{PICTURES[screen, path]}.png")
    await window.press("Log out", ".top")
    found += [f"/ui/login: {complaint}" for complaint in await _complaints(window)]
    await context.close()
    assert found == []


async def test_the_check_finds_a_page_that_is_wrong(gallery: Gallery) -> None:
    """The control: a picture without words, faint text, and something wider than the screen."""
    context = await gallery.chromium.new_context(**SCREENS["dark phone"])
    page = await context.new_page()
    await page.set_content(
        "<html><body style='background:#fff'><p style='color:#eee'>faint</p><img src='data:,'>"
        "<p style='width:900px'>wide"
    )
    found = await _complaints(Window(page))
    await context.close()
    assert [word for word in ("image-alt", "color-contrast", "wider") if any(word in each for each in found)] == [
        "image-alt", "color-contrast", "wider"
    ]  # fmt: skip


async def _complaints(window: Window) -> list[str]:
    page = window.page
    await page.evaluate(AXE)
    found = await page.evaluate("axe.run().then((said) => said.violations)")
    grave = [each for each in found if each["impact"] in ("serious", "critical")]
    complaints = [f"{each['id']} at {each['nodes'][0]['html'][:200]}" for each in grave]
    width, room = await page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    return complaints + ([f"wider than the screen: {width} of {room}"] if width > room else [])
