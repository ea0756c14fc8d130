"""Who comes in: logins, users and their rights, tokens, one's own account; what the machine shows to an admin."""

from __future__ import annotations

import aiohttp
import pytest
from playwright.async_api import expect

from tests.browser.conftest import Open
from tests.system.conftest import MakeTenant

pytestmark = [pytest.mark.parts, pytest.mark.asyncio(loop_scope="module")]
PASSWORD = "a sentence of ada"


async def test_in_with_the_right_password_and_out_again(window: Open, tenant: MakeTenant) -> None:
    web, ada = await tenant(), await window("")
    await ada.see(f"/ui/services/{web.name}")
    await ada.page.get_by_label("Name").fill("admin")
    await ada.page.get_by_label("Password").fill("not this one")
    await ada.press("Log in")
    await ada.shows("The name or the password is wrong.")
    await ada.page.get_by_label("Password").fill(web.house.password)
    await ada.press("Log in")
    await ada.shows(web.name, "h1")  # the page that was asked for
    await ada.press("Log out", ".top")
    await ada.see("/ui/users")
    await expect(ada.page.get_by_role("heading", name="Log in")).to_be_visible()


async def test_a_user_is_added_given_a_right_sees_only_that_and_loses_it(window: Open, tenant: MakeTenant) -> None:
    web, other, admin = await tenant(), await tenant(first=""), await window()
    name = f"ada-{web.name}"
    await admin.see("/ui/users")
    form = admin.form("Add")
    await form.get_by_label("Name").fill(name)
    await form.get_by_label("Password").fill(PASSWORD)
    await admin.press("Add")
    await admin.shows(name, "h1")
    form = admin.form("Give")
    await form.locator("[name=action]").select_option("deploy")
    await form.locator("[name=scope]").select_option(f"service:{web.name}")
    await admin.press("Give")
    await admin.shows(f"service:{web.name}", "table")
    ada = await window(name, PASSWORD)
    await ada.shows(web.name)
    await ada.hides(other.name)
    await expect(ada.page.get_by_role("link", name="Users")).to_have_count(0)
    await ada.follow(web.name)
    await ada.press("Restart")
    await ada.ends("succeeded")
    await admin.page.get_by_role("button", name="Take away").click()
    await admin.hides(f"service:{web.name}", "table")
    answer = await ada.page.request.get(f"/ui/services/{web.name}")
    assert answer.status == 404


async def test_a_token_is_shown_once_works_and_is_removed(window: Open, tenant: MakeTenant) -> None:
    web, admin = await tenant(first=""), await window()
    await admin.see("/ui/account")
    form = admin.form("Make a token")
    await form.get_by_label("Name").fill(f"ci-{web.name}")
    await admin.press("Make a token")
    secret = await admin.page.locator("#secret").inner_text()
    assert secret.startswith("o8_")
    await admin.see("/ui/account")
    assert secret not in await admin.page.content()
    assert await _status(web.house.port, secret) == 200
    row = admin.page.get_by_role("row").filter(has_text=f"ci-{web.name}")
    await row.get_by_role("button").click()
    await admin.hides(f"ci-{web.name}", "table")
    assert await _status(web.house.port, secret) == 401


async def test_one_changes_ones_own_password(window: Open, tenant: MakeTenant) -> None:
    web = await tenant(first="")
    name = f"bob-{web.name}"
    await web.house.post("/users", username=name, password=PASSWORD)
    bob = await window(name, PASSWORD)
    await bob.see("/ui/account")
    await bob.page.get_by_label("Until now").fill(PASSWORD)
    await bob.page.get_by_label("New", exact=True).fill("another sentence")
    await bob.page.get_by_label("Again").fill("another sentence")
    await bob.press("Change")
    await bob.log_in(name, PASSWORD)
    await bob.shows("The name or the password is wrong.")
    await bob.log_in(name, "another sentence")
    await expect(bob.page.get_by_role("heading", name="Services")).to_be_visible()


async def test_deliveries_audit_doctor_and_the_api_are_looked_at(window: Open, tenant: MakeTenant) -> None:
    web, admin = await tenant(), await window()
    await web.push("0002")
    await admin.see("/ui/deliveries")
    row = admin.page.get_by_role("row").filter(has_text=web.name).first
    await expect(row).to_contain_text("accepted")
    await row.get_by_role("button", name="Run again").click()
    await admin.shows(f"{web.name}:")
    await admin.see("/ui/audit")
    await admin.shows("run again")
    await admin.see("/ui/doctor")
    await admin.shows("Docker")
    await admin.see("/ui/api")
    call = admin.page.locator("details.call").filter(has_text="/api/v1/me")
    await call.locator("summary").click()
    await call.get_by_role("button", name="Send").click()
    await expect(call.locator(".answer")).to_contain_text('"username": "admin"')


async def test_a_new_service_by_its_form(window: Open, tenant: MakeTenant) -> None:
    web, admin = await tenant(first=""), await window()
    name = f"{web.name}-new"
    await web.make("0001")
    await admin.see(f"/ui/new?image={web.image}")
    await admin.page.locator("#name").fill(name)
    await admin.page.locator("[name=domains]").fill(f"{name}.test")
    await admin.page.locator("[name=watch]").fill("0")
    await admin.page.locator("[name=drain_timeout]").fill("3")
    await admin.press("Install")
    await admin.ends("succeeded")
    assert (await web.house.visit(f"{name}.test"))[0] == 200


async def _status(port: int, token: str) -> int:
    async with aiohttp.ClientSession() as client:
        headers = {"Authorization": f"Bearer {token}"}
        async with client.get(f"http://127.0.0.1:{port}/api/v1/me", headers=headers) as answer:
            return answer.status
