"""Every page, for an admin and for users with each right: what is there, what is not, and what is never shown."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest

from bot.errors import EngineUnavailable
from bot.models import Hold
from bot.permissions import GLOBAL, Action
from handlers.web import ROUTES
from tests.handlers.visiting import add_user, sql
from tests.small_house import House
from tests.web.conftest import Come
from tests.web.guest import Guest

pytestmark = pytest.mark.slow

PAGES = {
    "/ui/": "/ui/", "/ui/new": "/ui/new?image=ghcr.io/acme/reports", "/ui/services/{name}": "/ui/services/web",
    "/ui/services/{name}/configuration": "/ui/services/web/configuration",
    "/ui/services/{name}/environment": "/ui/services/web/environment",
    "/ui/services/{name}/logs": "/ui/services/web/logs", "/ui/deployments": "/ui/deployments",
    "/ui/deployments/{id}": "/ui/deployments/14", "/ui/users": "/ui/users", "/ui/users/{name}": "/ui/users/jonas",
    "/ui/account": "/ui/account", "/ui/deliveries": "/ui/deliveries", "/ui/audit": "/ui/audit",
    "/ui/doctor": "/ui/doctor", "/ui/api": "/ui/api", "/ui/available": "/ui/available",
    "/ui/services/{name}/versions": "/ui/services/web/versions",
}  # fmt: skip
SECRET = "s3cret-word"
TEMPLATES = sorted((Path(__file__).parents[2] / "handlers/web/templates").glob("*.html"))
# On the page of the service `web`, by the right that somebody has there: where links and buttons lead.
MAY = {
    Action.VIEW_STATUS: set(), Action.VIEW_LOGS: {"logs"}, Action.VIEW_ENV: {"environment"},
    Action.EDIT_ENV: {"environment"}, Action.VIEW_CONFIGURATION: {"configuration"},
    Action.EDIT_CONFIGURATION: {"configuration"}, Action.DEPLOY: {"deploy", "rollback", "restart", "lock"},
    Action.MANAGE: {"deploy", "rollback", "restart", "lock", "stop", "scale", "hold", "remove"},
    Action.ADMIN: {"logs", "environment", "configuration", "deploy", "rollback", "restart", "lock", "stop", "scale",
                   "hold", "remove"},
}  # fmt: skip


def test_every_page_is_visited() -> None:
    assert {route.path for route in ROUTES if route.method == "GET"} == {*PAGES, "/ui/{rest:.+}"}


@pytest.mark.parametrize("path", PAGES.values())
async def test_a_page_is_whole_and_safe_for_an_admin(mira: Guest, path: str) -> None:
    page = await mira.get(path)
    assert page.status == 200 and page.text.rstrip().endswith("</html>") and "mira" in page.words
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
    assert page.headers["X-Frame-Options"] == "DENY" and page.headers["Cache-Control"] == "no-store"
    assert SECRET not in page.text
    assert not re.search(r'(src|href)="(https?:)?//', page.text), "nothing from other hosts"
    ids = re.findall(r'\sid="([^"]+)"', page.text)
    assert len(ids) == len(set(ids))


async def test_every_link_of_every_page_leads_somewhere(mira: Guest) -> None:
    found: set[str] = set()
    for path in PAGES.values():
        found |= set(re.findall(r'<a [^>]*?href="([^"]+)"', (await mira.get(path)).text))
    for link in found - {"#main"}:
        assert (await mira.get(link.replace("&amp;", "&"))).status == 200, link


@pytest.mark.parametrize("action", MAY)
async def test_a_service_offers_what_one_may_and_nothing_else(house: House, come: Come, action: Action) -> None:
    await add_user(house, "kim", (action, "service:web"))
    kim = await come("kim")
    page = await kim.get("/ui/services/web")
    base = "/ui/services/web/"
    assert {link.removeprefix(base) for link in page.links if link.startswith(base)} == MAY[action] | {"versions"}
    for path, needed in (("logs", "logs"), ("environment", "environment"), ("configuration", "configuration")):
        assert (await kim.get(base + path)).status == (200 if needed in MAY[action] else 403)
    for path in ("/ui/users", "/ui/audit", "/ui/doctor", "/ui/deliveries", "/ui/new"):
        answer = await kim.get(path)
        assert answer.status == 403 and path not in answer.links and "kim" in answer.words
    listed = await kim.get("/ui/")
    assert {"/ui/services/web"} == {link for link in listed.links if link.startswith("/ui/services/")}
    assert (await kim.get("/ui/services/shop")).status == 404 == (await kim.get("/ui/services/gone")).status
    assert (await kim.get("/ui/deployments?service=shop")).status == 404
    assert "/ui/deployments/16" not in (await kim.get("/ui/deployments")).links


async def test_who_may_only_read_the_configuration_cannot_type_into_it(house: House, come: Come) -> None:
    await add_user(house, "kim", (Action.VIEW_CONFIGURATION, "service:web"))
    page = await (await come("kim")).get("/ui/services/web/configuration")
    assert page.text.count("<fieldset disabled>") == page.text.count("<fieldset") and "Save" not in page.words


async def test_who_has_no_right_is_told_so(house: House, come: Come) -> None:
    await add_user(house, "kim")
    kim = await come("kim")
    assert "No service that you may see" in (await kim.get("/ui/")).words
    assert "None yet. An admin gives them." in (await kim.get("/ui/account")).words


async def test_who_may_add_services_sees_what_was_pushed(house: House, come: Come) -> None:
    await add_user(house, "kim", (Action.ADD_NEW_SERVICE, GLOBAL))
    kim = await come("kim")
    page = await kim.get("/ui/")
    assert "/ui/new?image=ghcr.io/acme/reports" in page.links
    form = (await kim.get("/ui/new?image=ghcr.io/acme/reports")).values()
    assert (form["name"], form["image"], form["port"]) == ("reports", "ghcr.io/acme/reports", "8080")


async def test_without_a_login_one_is_asked_for_it_and_comes_back(come: Come) -> None:
    for path in [*PAGES.values(), "/ui/nothing/here"]:
        answer = await (await come("")).get(path)
        assert answer.status == 303 and answer.place == f"/ui/login?next={quote(path, safe='')}"
        assert f'name="next" value="{path}"' in (await (await come("")).get(answer.place)).text


async def test_a_page_that_is_not_there_says_so_as_a_page(mira: Guest) -> None:
    page = await mira.get("/ui/nothing/here")
    assert page.status == 404 and "There is no page" in page.words and "/ui/deployments" in page.links


async def test_a_refresh_by_a_script_reads_nobodys_notices(mira: Guest) -> None:
    answer = await mira.post("/ui/services/web/hold", reason="a fair")
    await mira.get(answer.place, **{"X-O8-Refresh": "1"})
    assert 'role="status">What is pushed for web is recorded' in (await mira.get(answer.place)).text
    assert 'role="status">What' not in (await mira.get(answer.place)).text


async def test_values_of_an_environment_are_shown_to_who_edits_it_and_that_is_recorded(
    house: House, mira: Guest, come: Come
) -> None:
    page = await mira.get("/ui/services/web/environment?edit=1")
    area = re.search(r"<textarea.*?</textarea>", page.text, re.DOTALL)
    assert area and SECRET in area[0] and page.text.count(SECRET) == 1
    assert (await house.services.store.audit(1))[0].action == "env read"
    await add_user(house, "kim", (Action.VIEW_ENV, "service:web"))
    shown = await (await come("kim")).get("/ui/services/web/environment?edit=1")
    assert shown.status == 200 and SECRET not in shown.text and "DATABASE_URL" in shown.words


HOSTILE = """<script>alert(1)</script>"><img src=x onerror=alert(1)>'{{ 7*7 }}"""


async def test_hostile_text_is_text(house: House, mira: Guest) -> None:
    store = house.services.store
    hold = (await store.service("billing")).hold
    assert hold
    await store.set_hold("web", Hold(reason=HOSTILE, actor="user:" + HOSTILE, since=hold.since))
    query = "UPDATE deployments SET reason = ?, log = ?, error = ?, tag = ? WHERE service = 'web'"
    await sql(house, query, *[HOSTILE] * 4)
    await sql(house, "UPDATE steps SET detail = json_object('found', ?)", HOSTILE)
    await sql(house, "UPDATE deliveries SET ignored = json_array(?), tag = ?", HOSTILE, HOSTILE)
    await store.record("user:" + HOSTILE, HOSTILE, HOSTILE, {HOSTILE: HOSTILE, "long": HOSTILE * 3})
    await store.open_session("mira", HOSTILE)
    await store.add_token("mira", HOSTILE, None, None)
    paths = ["/ui/services/web", "/ui/deployments", "/ui/deployments/15", "/ui/audit", "/ui/deliveries", "/ui/account"]
    for path in [*paths, "/ui/deployments?service=web"]:
        page = await mira.get(path)
        assert page.status == 200 and "alert(1)" in page.words, path
        assert "<script>" not in page.text and "<img src=x" not in page.text and "'49" not in page.text, path
    for path in ("audit?subject=", "new?image=", "login?next=", "login?next=/ui/"):
        assert "<script>" not in (await mira.get(f"/ui/{path}%22%3E%3Cscript%3E")).text


async def test_no_address_makes_a_5xx(mira: Guest) -> None:
    large = "9" * 21
    for path in (
        "deployments?before=x", f"deployments?before={large}", "audit?before=-1", "deliveries?before=%00", "users/%00",
        "deployments?service=%00", "audit?subject=%00%ff", "new?image=%00", "deployments/0", f"deployments/{large}",
        "services/%2e%2e", "services/web/%0d%0a", "deployments?service=" + "x" * 3000,
    ):  # fmt: skip
        assert (await mira.get(f"/ui/{path}")).status in (200, 400, 404), path


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_a_template_has_nothing_inline(template: Path) -> None:
    text = template.read_text()
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:|<script(?! src=)|\|\s*safe|autoescape", text)
    for form in re.findall(r"<form[^>]*method=\"post\".*?</form>", text, re.DOTALL):
        assert "proof(csrf)" in form or 'name="csrf"' in form or "/ui/login" in form, "a form without its proof"


async def test_files_of_the_dashboard_are_served_and_no_others(mira: Guest) -> None:
    for name, kind in (("o8.css", "text/css"), ("o8.js", "text/javascript"), ("o8.svg", "image/svg+xml")):
        answer = await mira.get(f"/ui/static/{name}")
        assert answer.status == 200 and answer.headers["Content-Type"].startswith(kind)
    for name in ("base.html", "..%2frouting.py", "o8.css%00"):
        assert (await mira.get(f"/ui/static/{name}")).status == 404


async def test_a_failed_deployment_says_why_and_shows_its_last_lines_to_who_may_read_logs(
    house: House, mira: Guest, come: Come
) -> None:
    page = await mira.get("/ui/deployments/14")
    assert "nobody listened on port 8080" in page.words and "Exit code 1." in page.words
    assert "ConnectionError: timed out" in page.words and "step checking fatal" in page.text
    await add_user(house, "kim", (Action.DEPLOY, "service:search"))
    assert "ConnectionError" not in (await (await come("kim")).get("/ui/deployments/14")).text


async def test_a_pull_shows_how_far_it_is(mira: Guest) -> None:
    for path in ("/ui/", "/ui/services/shop", "/ui/deployments", "/ui/deployments/16"):
        page = await mira.get(path)
        assert "5.0 MB of 40.0 MB" in page.words and "data-moves" in page.text


async def test_what_is_wrong_comes_first_at_the_doctors(house: House, mira: Guest) -> None:
    house.engine.trouble = EngineUnavailable("Docker does not answer.", "Start it.")
    house.nginx.is_down = True
    found = re.findall(r'class="badge \w+">(ok|warning|fault)<', (await mira.get("/ui/doctor")).text)
    assert found == sorted(found, key=("fault", "warning", "ok").index) and len(set(found)) > 1


async def test_older_ones_are_on_the_next_page(house: House, mira: Guest) -> None:
    for n in range(60):
        await house.services.store.record("user:mira", f"act {n}", "web", {})
    first = await mira.get("/ui/audit")
    older = next(link for link in first.links if "before=" in link).replace("&amp;", "&")
    assert "act 59" in first.words and "act 59" not in (await mira.get(older)).words
    assert urlsplit(older).path == "/ui/audit"


async def test_the_commit_leads_to_github_where_its_repository_is_known(house: House, mira: Guest) -> None:
    assert "github.com" not in (await mira.get("/ui/deployments/15")).text
    await sql(house, "UPDATE deployments SET repository = ?", "acme/site")
    assert "https://github.com/acme/site/commit/4be7a90" in (await mira.get("/ui/deployments/15")).links
