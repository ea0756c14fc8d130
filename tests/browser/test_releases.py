"""A release from the dashboard: deployed, watched live, rolled back, configured; its environment and its log."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.browser.conftest import Open
from tests.system.conftest import MakeTenant

pytestmark = [pytest.mark.parts, pytest.mark.asyncio(loop_scope="module")]


async def test_a_tag_is_deployed_and_watched_live(tenant: MakeTenant, window: Open) -> None:
    web, ada = await tenant(), await window()
    await web.make("0002")
    await ada.see(f"/ui/services/{web.name}")
    form = ada.form("Deploy")
    await form.get_by_label("Tag").fill("0002")
    await form.get_by_role("button", name="Deploy", exact=True).click()
    await ada.ends("succeeded")  # nothing was loaded again: the page follows by itself
    for step in ("resolving", "pulling", "starting", "checking", "switching", "draining"):
        await ada.shows(step)
    assert await web.version() == "0002"
    await ada.follow(web.name)
    await ada.shows("0002", "#now")


async def test_a_newer_version_is_deployed_from_the_list_of_versions(tenant: MakeTenant, window: Open) -> None:
    web, ada = await tenant(), await window()
    await web.make("0002")
    await ada.see(f"/ui/services/{web.name}")
    await ada.follow("Versions")
    rows = ada.page.locator("#versions tbody tr")
    await expect(rows.filter(has_text="0001")).to_contain_text("runs kept here")
    await expect(rows.first).to_contain_text("newest newer")
    await ada.press("Deploy 0002")
    await ada.ends("succeeded")
    await ada.see(f"/ui/services/{web.name}/versions")
    await expect(rows.first).to_contain_text("runs newest kept here")
    await expect(rows.first).to_contain_text("B")  # its size, as Docker says it
    await expect(ada.page.get_by_role("button", name="Deploy")).to_have_count(0)
    assert await web.version() == "0002"


async def test_a_page_that_is_open_shows_what_others_do(tenant: MakeTenant, window: Open) -> None:
    web, ada = await tenant(), await window()
    await ada.see("/ui/")
    row = ada.page.get_by_role("row").filter(has=ada.page.get_by_role("link", name=web.name, exact=True))
    await expect(row).to_contain_text("0001")
    await web.release("0002")
    await expect(row).to_contain_text("0002", timeout=30_000)


async def test_a_release_that_fails_says_why_and_what_it_last_wrote(tenant: MakeTenant, window: Open) -> None:
    web, ada = await tenant(), await window()
    await web.make("0002", "exit1")
    await ada.see(f"/ui/services/{web.name}")
    await ada.form("Deploy").get_by_label("Tag").fill("0002")
    await ada.press("Deploy")
    await ada.ends("failed")
    await expect(ada.page.get_by_role("heading", name="Last lines of the container that failed")).to_be_visible()
    assert await web.version() == "0001"


async def test_rollback_restart_stop_and_start(tenant: MakeTenant, window: Open) -> None:
    web, ada = await tenant(), await window()
    await web.release("0002")
    await ada.see(f"/ui/services/{web.name}")
    await ada.press("Roll back")
    await ada.ends("succeeded")
    assert await web.version() == "0001"
    await ada.see(f"/ui/services/{web.name}")
    await ada.shows("on hold", "#head")
    await ada.press("Lift the hold")
    await ada.hides("on hold", "#head")
    await ada.press("Restart")
    await ada.page.wait_for_url("**/deployments/*")
    await ada.page.locator("h1 .badge", has_text="succeeded").wait_for(timeout=60_000)
    await ada.see(f"/ui/services/{web.name}")
    await ada.press("Stop")
    await ada.shows("stopped", "#head")
    assert (await web.house.visit(web.host))[0] == 503
    await ada.press("Start")
    await ada.ends("succeeded")
    assert (await web.house.visit(web.host))[0] == 200


async def test_locked_and_unlocked(tenant: MakeTenant, window: Open) -> None:
    web, ada = await tenant(), await window()
    await ada.see(f"/ui/services/{web.name}")
    await ada.page.get_by_text("Lock: nobody deploys").click()
    form = ada.form("Lock")
    await form.get_by_label("because").fill("inventory")
    await form.get_by_role("button", name="Lock", exact=True).click()
    await ada.shows("inventory", "#now")
    await ada.press("Deploy")
    await ada.shows("is locked by")  # refused, and said on the same page
    await ada.press("Unlock")
    await ada.hides("locked", "#head")


async def test_a_configuration_is_changed_and_a_wrong_one_keeps_what_was_typed(
    tenant: MakeTenant, window: Open
) -> None:
    web, ada = await tenant(), await window()
    await ada.see(f"/ui/services/{web.name}/configuration")
    memory = ada.page.locator("[name='limits.memory']")
    await memory.fill("much")
    await ada.press("Save and deploy")
    await ada.shows("limits.memory")
    await expect(memory).to_have_value("much")
    await memory.fill("96m")
    await ada.press("Save and deploy")
    await ada.ends("succeeded")
    inspected = await web.inspected()
    assert 96 * 2**20 in [each["HostConfig"]["Memory"] for each in inspected]


async def test_an_environment_is_edited_after_a_look_at_what_changes(tenant: MakeTenant, window: Open) -> None:
    web, ada = await tenant(), await window()
    await ada.see(f"/ui/services/{web.name}/environment")
    await ada.follow("Edit")
    await ada.page.locator("#content").fill("# colours\nCOLOUR=deep-blue-secret\n")
    await ada.press("Look at the changes")
    await ada.shows("COLOUR=********", ".diff")
    assert "deep-blue-secret" not in await ada.page.locator(".diff").inner_text()
    await ada.press("Save and deploy")
    await ada.ends("succeeded")
    assert "COLOUR=deep-blue-secret" in await web.variables()
    await ada.see(f"/ui/services/{web.name}/environment")
    await ada.shows("COLOUR")
    assert "deep-blue-secret" not in await ada.page.content()


async def test_a_log_goes_on_over_a_switch_and_is_searched_and_paused(tenant: MakeTenant, window: Open) -> None:
    web, ada = await tenant(), await window()
    await ada.see(f"/ui/services/{web.name}/logs")
    log, state = ada.page.locator("#log"), ada.page.locator("#log-state")
    await expect(state).to_contain_text("Live", timeout=30_000)
    await web.release("0002")
    await expect(log.locator(".mark").last).to_contain_text("0002 takes over", timeout=30_000)
    await ada.press("Pause")
    await expect(ada.page.locator("#log-pause")).to_have_attribute("aria-pressed", "true")
    await ada.press("Go on")
    await ada.page.locator("#log-search").fill("no line has this")
    await expect(log.locator("div:not(.mark)")).to_have_count(0, timeout=30_000)
    async with ada.page.expect_download() as waiting:
        await ada.follow("Download")
    assert (await waiting.value).suggested_filename == f"{web.name}.log"


async def test_a_whole_deployment_by_the_keyboard(tenant: MakeTenant, window: Open) -> None:
    web, ada = await tenant(), await window()
    await web.make("0002")
    await ada.see(f"/ui/services/{web.name}")
    await ada.page.keyboard.press("Tab")
    assert await ada.page.evaluate("document.activeElement.textContent") == "Skip to the content"
    await ada.page.keyboard.press("Enter")
    for _ in range(40):
        await ada.page.keyboard.press("Tab")
        if await ada.page.evaluate("document.activeElement.name") == "release":
            break
    await ada.page.keyboard.type("0002")
    await ada.page.keyboard.press("Enter")
    await ada.ends("succeeded")
    assert await web.version() == "0002"
