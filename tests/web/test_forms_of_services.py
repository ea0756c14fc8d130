"""What the forms of a service do, and how they say that they did not."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bot.registry.manifests import Config
from handlers.web import ROUTES, services
from handlers.web.environment import differences
from tests.handlers.visiting import add_user, sql
from tests.small_house import House
from tests.web.conftest import Come
from tests.web.guest import Guest

pytestmark = pytest.mark.slow

WEB = "/ui/services/web"
# Every form, with what its own test sends; forms of people are in test_forms_of_people.py.
SENT: dict[str, dict[str, str]] = {
    "/ui/new": {}, f"{WEB}/deploy": {}, f"{WEB}/rollback": {}, f"{WEB}/restart": {}, f"{WEB}/start": {},
    f"{WEB}/stop": {}, f"{WEB}/scale": {"replicas": "2"}, f"{WEB}/lock": {"reason": "x"}, f"{WEB}/unlock": {},
    f"{WEB}/hold": {"reason": "x"}, f"{WEB}/resume": {}, f"{WEB}/remove": {"confirm": "web"},
    f"{WEB}/configuration": {},
    f"{WEB}/environment": {"content": "A=1", "revision": "1"}, "/ui/deployments/16/cancel": {},
    "/ui/deployments/16/approve": {}, "/ui/deployments/16/reject": {"reason": "x"}, "/ui/users": {"username": "kim"},
    "/ui/users/jonas/grant": {"action": "deploy", "scope": "global"},
    "/ui/users/jonas/revoke": {"action": "deploy", "scope": "service:shop"},
    "/ui/users/jonas/password": {"password": "0123456789ab"}, "/ui/users/jonas/remove": {}, "/ui/logout": {},
    "/ui/account/password": {}, "/ui/account/tokens": {"name": "x"}, "/ui/account/tokens/remove": {"id": "1"},
    "/ui/account/sessions/close": {}, "/ui/deliveries/c3b90d11-3fa2-11f1-8e52-1a2b3c4d5e6f/run": {},
}  # fmt: skip


def test_every_form_is_tried() -> None:
    def shape(path: str) -> tuple[int, str]:
        return path.count("/"), path.rpartition("/")[2]

    assert {shape(r.path) for r in ROUTES if r.method == "POST"} == {shape(path) for path in SENT}
    assert len([r for r in ROUTES if r.method == "POST"]) == len(SENT)


async def test_no_form_does_anything_without_its_proof(house: House, mira: Guest, come: Come) -> None:
    other = (await come("jonas")).csrf
    before = await house.services.store.audit(1000)
    for path, sent in SENT.items():
        for csrf in ("", "wrong", other, "ü"):
            answer = await mira.post(path, "/ui/", csrf, **sent)
            assert answer.status == 403 and "did not come from o8's own page" in answer.words, path
    assert await house.services.store.audit(1000) == before
    assert await house.services.store.deployment(16)
    assert (await mira.get("/ui/")).status == 200, "still logged in"


async def test_a_form_from_another_site_does_nothing(house: House, mira: Guest) -> None:
    mira.headers["Origin"] = "https://evil.example.com"
    assert (await mira.post(f"{WEB}/hold", reason="x")).status == 403
    assert (await house.services.store.service("web")).hold is None


async def test_a_deployment_is_asked_for_with_a_tag_and_a_reason(house: House, mira: Guest) -> None:
    house.registry.push("0414")
    answer = await mira.post(f"{WEB}/deploy", WEB, release=" 0414 ", reason=" soon ")
    asked = await house.services.store.deployment(int(answer.place.rpartition("/")[2]))
    assert (asked.tag, asked.reason, asked.actor, asked.kind) == ("0414", "soon", "user:mira", "deploy")
    assert f"#{asked.id}" in (await mira.then(answer)).words


@pytest.mark.parametrize(("path", "sent", "says"), [
    ("deploy", {"release": "no tag!", "reason": "a new <start> page"}, "neither a tag nor a digest"),
    ("rollback", {"release": "#99", "reason": "too slow"}, "no release"),
    ("lock", {"reason": " ", "hours": "24"}, "A reason of 1 to 500 characters is needed"),
    ("lock", {"reason": "long", "hours": "9999"}, "A lock lasts from one minute to 30 days"),
    ("hold", {"reason": "x" * 501}, "A reason of 1 to 500 characters"),
    ("scale", {"replicas": "9"}, "replicas"), ("scale", {"replicas": "-1"}, "replicas"),
    ("remove", {"confirm": "wbe"}, "Type web to remove it"), ("start", {}, "web is not stopped"),
    ("unlock", {}, "web is not locked"),
])  # fmt: skip
async def test_what_is_wrong_comes_back_with_what_to_do_and_what_was_typed(
    mira: Guest, path: str, sent: dict[str, str], says: str
) -> None:
    answer = await mira.post(f"{WEB}/{path}", WEB, **sent)
    assert answer.place == WEB
    page = await mira.then(answer)
    assert 'class="notice trouble" role="alert"' in page.text and says in page.words
    if sent:
        form = page.values(f"{WEB}/{path}")
        kept = {name: value for name, value in sent.items() if form.get(name) == value}
        assert kept == {n: v for n, v in sent.items() if (n, v) not in (("hours", "9999"), ("release", "#99"))}
    again = await mira.get(WEB)
    assert "notice trouble" not in again.text and (not sent or again.values(f"{WEB}/{path}") != form or not kept)


async def test_an_error_leads_back_to_the_page_with_its_query_and_to_no_other_site(mira: Guest) -> None:
    back = "/ui/deployments?service=web&before=9"
    assert (await mira.post(f"{WEB}/lock", back)).place == back
    mira.headers["Referer"] = "https://evil.example.com/ui/"
    answer = await mira.post(f"{WEB}/lock")
    assert answer.status == 400 and "A reason" in answer.words


async def test_a_release_is_returned_to(house: House, mira: Guest) -> None:
    form = (await mira.get(WEB)).values(f"{WEB}/rollback")
    assert form["release"] == "#13", "the one before is offered first"
    answer = await mira.post(f"{WEB}/rollback", WEB, release="#8", reason="slow")
    asked = await house.services.store.deployment(int(answer.place.rpartition("/")[2]))
    assert (asked.kind, asked.target, asked.reason) == ("rollback", 8, "slow")


async def test_a_service_is_stopped_and_started_and_restarted(house: House, mira: Guest) -> None:
    page = await mira.then(await mira.post(f"{WEB}/stop", WEB))
    assert "its site shows the maintenance page" in page.words and f"{WEB}/start" in page.links
    assert f"{WEB}/restart" not in page.links and "web" in house.nginx.in_maintenance
    started = await mira.then(await mira.post(f"{WEB}/start", WEB))
    assert "Start of" in started.words
    answer = await mira.post("/ui/services/search/restart", "/ui/services/search")
    assert "Restart of" in (await mira.then(answer)).words


async def test_lock_and_hold_are_set_shown_and_lifted(mira: Guest) -> None:
    page = await mira.then(await mira.post(f"{WEB}/lock", WEB, reason="fair", hours="1"))
    assert "Locked by mira until" in page.words and "fair." in page.words and f"{WEB}/lock" not in page.links
    assert "web is not locked any more" in (await mira.then(await mira.post(f"{WEB}/unlock", WEB))).words
    page = await mira.then(await mira.post(f"{WEB}/hold", WEB, reason="fair?"))
    assert "On hold by mira" in page.words and "fair? What is pushed" in page.words and f"{WEB}/hold" not in page.links
    assert "The hold is lifted" in (await mira.then(await mira.post(f"{WEB}/resume", WEB))).words
    assert "On hold" not in (await mira.get(WEB)).words


async def test_replicas_are_scaled(house: House, mira: Guest) -> None:
    assert "Configure of" in (await mira.then(await mira.post(f"{WEB}/scale", WEB, replicas="3"))).words
    answer = await mira.post("/ui/services/mailer/scale", "/ui/services/mailer", replicas="2")
    assert "runs 2 of itself from its next deployment on" in (await mira.then(answer)).words


async def test_a_service_is_removed_once_its_name_was_typed(house: House, mira: Guest) -> None:
    answer = await mira.post("/ui/services/docs/remove", "/ui/services/docs", confirm="docs")
    assert answer.place == "/ui/" and "docs is removed" in (await mira.then(answer)).words
    assert "docs" not in await house.services.store.service_names()


async def test_a_deployment_is_cancelled(house: House, mira: Guest) -> None:
    assert "Cancelled" in (await mira.then(await mira.post("/ui/deployments/16/cancel", "/ui/deployments/16"))).words
    assert (await house.ended(16)).state == "cancelled"
    answer = await mira.post("/ui/deployments/16/cancel", "/ui/deployments/16")
    assert "notice trouble" in (await mira.then(answer)).text


async def test_what_waits_for_approval_is_approved_or_rejected_by_somebody_else(
    house: House, mira: Guest, come: Come
) -> None:
    await sql(house, "UPDATE services SET lock = NULL")
    await add_user(house, "kim", ("deploy", "service:billing"))
    kim, where = await come("kim"), []
    house.registry.push("1.19.1")
    for _ in range(2):
        waits = await kim.post("/ui/services/billing/deploy", release="1.19.1")
        page = await kim.then(waits)
        assert "waits for the approval of somebody else than kim" in page.words
        assert (await kim.post(f"{waits.place}/approve", waits.place)).status == 403
        where.append(waits.place)
        if len(where) == 1:
            no_reason = await mira.post(f"{waits.place}/reject", waits.place, reason="")
            assert "A reason of 1 to 500" in (await mira.then(no_reason)).words
            rejected = await mira.then(await mira.post(f"{waits.place}/reject", waits.place, reason="not on Fridays"))
            assert "Rejected by mira: not on Fridays" in rejected.words
    approved = await mira.then(await mira.post(f"{where[1]}/approve", where[1]))
    assert "approved by mira" in approved.words


async def test_a_delivery_is_run_again(mira: Guest) -> None:
    path = "/ui/deliveries/c3b90d11-3fa2-11f1-8e52-1a2b3c4d5e6f/run"
    page = await mira.then(await mira.post(path, "/ui/deliveries"))
    assert 'class="notice done" role="status">web: ' in page.text
    path = "/ui/deliveries/f4410c3e-3fa3-11f1-8a20-3c4d5e6f7081/run"
    assert "No service uses" in (await mira.then(await mira.post(path, "/ui/deliveries"))).words


# -- configuration


async def test_the_form_of_a_configuration_sends_what_is_there(house: House, mira: Guest) -> None:
    form = (await mira.get(f"{WEB}/configuration")).values()
    before = (await house.services.store.service("web")).configuration
    page = await mira.then(await mira.post(f"{WEB}/configuration", csrf=form.pop("csrf"), **form))
    assert "nothing that runs had to change" in page.words
    assert (await house.services.store.service("web")).configuration == before


async def test_a_changed_configuration_is_deployed(house: House, mira: Guest) -> None:
    form = (await mira.get(f"{WEB}/configuration")).values() | {
        "limits.memory": "2g",
        "domains": "a.example\r\nb.example\r\n",
    }
    del form["csrf"]
    assert "Configure of" in (await mira.then(await mira.post(f"{WEB}/configuration", **form))).words
    found = (await house.services.store.service("web")).configuration
    assert (found.limits.memory, found.domains) == ("2g", ("a.example", "b.example"))


async def test_a_wrong_configuration_comes_back_as_it_was_typed(house: House, mira: Guest) -> None:
    form = (await mira.get(f"{WEB}/configuration")).values()
    wrong = form | {
        "limits.memory": "lots",
        "port": "0",
        "domains": "not a host",
        "volumes": "uploads",
        "site.hsts": "1",
    }
    del wrong["csrf"]
    page = await mira.post(f"{WEB}/configuration", **wrong)
    assert page.status == 400
    for said in ("limits.memory", "port", "domains", "volumes"):
        assert said in page.words.partition("Save and deploy")[0]
    assert page.values() | {"csrf": ""} == wrong | {"csrf": ""}
    assert (await house.services.store.service("web")).configuration.port == 8080


async def test_nobody_saves_over_a_configuration_that_somebody_else_changed(house: House, mira: Guest) -> None:
    mine = (await mira.get(f"{WEB}/configuration")).values() | {"limits.memory": "2g"}
    del mine["csrf"]
    await mira.post(f"{WEB}/scale", replicas="4")
    page = await mira.post(f"{WEB}/configuration", **mine)
    assert page.status == 409 and "Somebody else has changed it meanwhile" in page.words
    assert page.values()["limits.memory"] == "2g"
    again = page.values()
    del again["csrf"]
    await mira.then(await mira.post(f"{WEB}/configuration", **again))
    assert (await house.services.store.service("web")).configuration.limits.memory == "2g"


async def test_a_new_service_is_installed(house: House, mira: Guest) -> None:
    house.registry.push("0001")
    form = (await mira.get("/ui/new?image=ghcr.io/acme/reports")).values()
    del form["csrf"]
    taken = await mira.post("/ui/new", **form | {"name": "web", "tag": "7"})
    assert taken.status == 409 and "There is a service web already" in taken.words
    assert (taken.values()["tag"], taken.values()["image"]) == ("7", "ghcr.io/acme/reports")
    assert (await mira.post("/ui/new", **form | {"name": "No Name"})).status == 400
    page = await mira.then(await mira.post("/ui/new", **form))
    assert "reports" in page.words and "Deploy of 0208" in page.words  # the highest that the registry has
    assert "/ui/new?image=ghcr.io/acme/reports" not in (await mira.get("/ui/")).links


async def test_the_form_of_a_new_service_has_what_the_image_says(house: House, mira: Guest) -> None:
    says = {"Labels": {"o8.cpus": "0.5", "o8.<b>": "x"}, "ExposedPorts": {"9000/tcp": {}},
            "Healthcheck": {"Test": ["CMD", "true"]}}  # fmt: skip
    about = {"os": "linux", "architecture": "amd64", "config": says}
    house.registry.abouts[house.registry.push("1.0.0")] = Config.model_validate(about)
    page = await mira.get("/ui/new?image=ghcr.io/acme/reports:1.0.0")
    form = page.values()
    assert [form[key] for key in ("name", "tag", "port", "limits.cpus", "health.kind", "follow.policy")] == [
        "reports", "1.0.0", "9000", "0.5", "image", "semver",
    ]  # fmt: skip
    assert "Port 9000 by EXPOSE." in page.words and "<b>" not in page.text.partition("notice")[2].partition("</div>")[0]
    del form["csrf"]
    assert "Deploy of 1.0.0" in (await mira.then(await mira.post("/ui/new", **form))).words


async def test_the_form_of_a_new_service_comes_though_the_registry_does_not_answer(
    house: House, mira: Guest, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def is_silent(image: str, reference: str) -> Any:
        await asyncio.sleep(60)

    monkeypatch.setattr(services, "_PATIENCE_S", 0.05)
    monkeypatch.setattr(house.registry, "resolve", is_silent)
    page = await mira.get("/ui/new?image=ghcr.io/acme/reports:0001")
    assert page.status == 200 and "what stands here is a guess" in page.words
    assert (page.values()["image"], page.values()["tag"]) == ("ghcr.io/acme/reports", "0001")


@pytest.mark.parametrize(("image", "status"), [("no%20image", 400), ("nobodys", 404), ("%3Cb%3E", 400)])
async def test_what_is_no_image_comes_back_with_the_reason(mira: Guest, image: str, status: int) -> None:
    page = await mira.get(f"/ui/new?image={image}")
    assert page.status == status and "image" in page.words and "<b>" not in page.text.partition("<main")[2]


# -- environment


async def test_an_environment_is_shown_before_it_is_saved(house: House, mira: Guest) -> None:
    path = f"{WEB}/environment"
    form = (await mira.get(f"{path}?edit=1")).values(path)
    sent: dict[str, Any] = {
        "content": form["content"].replace("LOG_LEVEL=info", "LOG_LEVEL=debug-word"),
        "revision": "1",
    }
    page = await mira.post(path, path, **sent)
    assert page.status == 200 and "This would change" in page.words
    shown = page.text.partition("<textarea")[0]
    assert "LOG_LEVEL=********" in shown and "debug-word" not in shown
    assert (await house.services.store.service("web")).environment_revision == 1
    assert page.values(path)["content"] == sent["content"]
    saved = await mira.post(path, path, **sent, confirmed="1")
    assert saved.place.startswith("/ui/deployments/")
    assert "debug-word" in await house.services.operations.environment("web")
    late = await mira.post(path, path, **sent, confirmed="1")
    assert late.status == 400 and "Somebody else has changed it meanwhile" in late.words
    assert "debug-word" in late.values(path)["content"]


@pytest.mark.parametrize(("content", "says"), [
    ("what is this", "is not NAME=value"), ("A=1\nB", "Line 2"), ("1A=x", "is not NAME=value"),
])  # fmt: skip
async def test_a_wrong_environment_comes_back_as_it_was_typed(mira: Guest, content: str, says: str) -> None:
    path = f"{WEB}/environment"
    page = await mira.post(path, path, content=content, revision="1")
    assert says in page.words or page.status == 200, page.words[:500]
    assert page.values(path)["content"] == content


async def test_an_environment_that_is_as_before_is_not_saved(house: House, mira: Guest) -> None:
    path = f"{WEB}/environment"
    content = (await mira.get(f"{path}?edit=1")).values(path)["content"]
    page = await mira.post(path, path, content=content, revision="1")
    assert page.status == 400 and "Nothing has changed" in page.words


def test_a_difference_masks_values_of_one_line_and_of_several() -> None:
    before = 'A=first-secret\nKEY="-----BEGIN\nabc=secret-line\nsecond-secret\n-----END"\n# comment\n'
    after = (
        'A=other-secret\nKEY="-----BEGIN\nabc=secret-other\n# secret-comment\nEND"\nexport B=third-secret\n# comment\n'
    )
    shown = "\n".join(f"{change.sign}{change.text}" for change in differences(before, after))
    assert "secret" not in shown and "BEGIN" not in shown, shown
    assert "+A=********" in shown and "+export B=********" in shown and " # comment" in shown
