"""One window of a browser, as somebody at the dashboard uses it: by the words on the page."""

from __future__ import annotations

from playwright.async_api import Locator, Page, expect


class Window:
    def __init__(self, page: Page) -> None:
        self.page = page

    async def log_in(self, name: str, password: str) -> None:
        await self.page.goto("/ui/")
        await self.page.get_by_label("Name").fill(name)
        await self.page.get_by_label("Password").fill(password)
        await self.press("Log in")

    async def see(self, path: str) -> None:
        """Goes to a page."""
        await self.page.goto(path)

    async def press(self, text: str, within: str = "main") -> None:
        await self.page.locator(within).get_by_role("button", name=text, exact=True).first.click()

    async def follow(self, text: str) -> None:
        """A link."""
        await self.page.get_by_role("link", name=text, exact=True).first.click()

    async def shows(self, text: str, within: str = "main") -> None:
        """Waits until the page shows `text`."""
        await expect(self.page.locator(within)).to_contain_text(text, timeout=30_000)

    async def hides(self, text: str, within: str = "main") -> None:
        await expect(self.page.locator(within)).not_to_contain_text(text, timeout=30_000)

    async def ends(self, state: str) -> None:
        """Waits on a deployment's page, without loading it again, until it has ended so."""
        await expect(self.page.locator("h1 .badge")).to_have_text(state, timeout=60_000)

    def form(self, button: str) -> Locator:
        """The form with this button."""
        return self.page.locator("form").filter(has=self.page.get_by_role("button", name=button, exact=True))
