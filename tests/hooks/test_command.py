"""`o8 github setup` and `o8 github check`: every reason why deliveries do not arrive is named, with what to do."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.hooks import setup
from lab.github_api import TOKEN, FakeGitHub, Reply
from lab.github_api.apps import CLIENT_ID
from lab.github_api.hooks import StoredHook
from tests.cli.conftest import Run
from tests.hooks.conftest import SECRET, push
from tests.hooks.front import Front
from tests.small_house import House, open_house

pytestmark = pytest.mark.slow

OWN = "/webhooks/github"


async def told(o8: Run, *arguments: str, code: int = 0) -> str:
    """What `o8 github ...` printed, after it ended with `code`."""
    result = await o8("github", *arguments)
    assert result.exit_code == code, result.output
    return result.output


# -- setting it up


async def test_it_is_made_and_its_ping_arrives(house: House, o8: Run, api: FakeGitHub, front: Front) -> None:
    text = await told(o8, "setup", "acme")
    (hook,) = api.hooks
    assert (hook.place, hook.events, hook.active) == ("orgs/acme", ["package"], True)
    assert hook.config == {
        "url": front.url + OWN, "content_type": "json", "secret": SECRET, "insecure_ssl": "0",
    }  # fmt: skip
    assert "Made: GitHub tells" in text and "GitHub's ping has arrived" in text
    (ping,) = await house.services.store.deliveries()
    assert (ping.event, ping.id) == ("ping", hook.tries[0].guid)
    assert SECRET not in text


async def test_a_second_time_changes_nothing_but_the_secret(house: House, o8: Run, api: FakeGitHub) -> None:
    await told(o8, "setup", "acme")
    before = {**api.hooks[0].config}
    text = await told(o8, "setup", "ACME")
    assert "It is as it is to be. The secret was set again." in text and "GitHub's ping has arrived" in text
    assert len(api.hooks) == 1 and api.hooks[0].config == before


async def test_what_is_wrong_is_mended(o8: Run, api: FakeGitHub, front: Front, house: House) -> None:
    hook = api.add_hook(
        "orgs/acme", front.url + OWN + "/", "an older secret here", events=["push"], active=False,
        content_type="form", insecure_ssl="1",
    )  # fmt: skip
    text = await told(o8, "setup", "acme")
    assert "Mended: it was switched off, it was sent for push, its content type was form, the certificate" in text
    assert (hook.active, hook.events, hook.config["secret"], hook.config["insecure_ssl"]) == (
        True, ["package"], SECRET, "0",
    )  # fmt: skip
    assert "GitHub's ping has arrived" in text


async def test_a_dry_run_changes_nothing(o8: Run, api: FakeGitHub, front: Front, house: House) -> None:
    assert "Would be made" in await told(o8, "setup", "acme", "--dry-run")
    api.add_hook("orgs/acme", front.url + OWN, active=False)
    text = await told(o8, "setup", "acme", "--dry-run")
    assert "Would be mended: it was switched off, it had no secret" in text
    assert not [line for line in api.asked if not line.startswith("GET")]
    assert not [entry for entry in await house.services.store.audit() if entry.action == "github-setup"]


async def test_who_set_it_up_is_in_the_audit(o8: Run, house: House) -> None:
    await told(o8, "setup", "acme")
    entry = (await house.services.store.audit())[0]
    assert (entry.action, entry.subject) == ("github-setup", "acme") and entry.actor.startswith("cli:")
    assert SECRET not in json.dumps(entry.detail)


async def test_of_several_one_is_mended_and_the_others_are_named(o8: Run, api: FakeGitHub, front: Front,
                                                                   house: House) -> None:  # fmt: skip
    first = api.add_hook("orgs/acme", front.url + OWN, "an older secret here", active=False)
    second = api.add_hook("orgs/acme", front.url + OWN, "an older secret here")
    text = await told(o8, "setup", "acme")
    assert f"others deliver to the same address: {first.id}." in text
    assert second.config["secret"] == SECRET and not first.active


@pytest.mark.parametrize("spelled", ["site", "acme/site"])
async def test_of_a_repository(o8: Run, api: FakeGitHub, house: House, spelled: str) -> None:
    await told(o8, "setup", "acme", "--repo", spelled)
    assert [hook.place for hook in api.hooks] == ["repos/acme/site"]


async def test_a_ping_that_cannot_arrive_is_explained(o8: Run, front: Front, house: House) -> None:
    await front.close()
    text = await told(o8, "setup", "acme", code=1)
    assert "FAULT   ping: The ping delivery of" in text and "GitHub cannot reach" in text
    await front.open()
    assert "GitHub's ping has arrived" in await told(o8, "setup", "acme"), "what an older ping met is over"


async def test_a_ping_that_somebody_else_takes_is_explained(o8: Run, front: Front, house: House) -> None:
    front.status, front.text = 200, "<h1>Welcome to nginx!</h1>"
    text = await told(o8, "setup", "acme", code=1)
    assert "FAULT   ping: GitHub got 200" in text and "but not from this o8" in text


async def test_a_ping_that_does_not_come_is_no_fault(
    o8: Run, api: FakeGitHub, front: Front, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(setup, "PATIENCE_S", 0.3)
    front.is_slow = True
    assert "WARNING ping: GitHub has not sent it within" in await told(o8, "setup", "acme")


async def test_a_user_has_webhooks_of_repositories_only(o8: Run, api: FakeGitHub, house: House) -> None:
    api.publish("ada", "notes", "0001")
    api.users.add("ada")
    text = await told(o8, "setup", "ada", code=2)
    assert "ada is a user" in text and "--repo" in text
    assert "knows nobody called nobody" in await told(o8, "setup", "nobody", code=3)
    await told(o8, "setup", "ada", "--repo", "notes")
    assert [hook.place for hook in api.hooks] == ["repos/ada/notes"]


@pytest.mark.parametrize(("arguments", "scope"), [
    (["acme"], "`admin:org_hook`, and its person must own the organization"),
    (["acme", "--repo", "site"], "`admin:repo_hook`, and its person must administer it"),
    (["acme/site"], "`admin:repo_hook`, and its person must administer it"),
])  # fmt: skip
async def test_a_token_with_too_few_rights_is_told_which(
    o8: Run, api: FakeGitHub, house: House, arguments: list[str], scope: str
) -> None:
    api.scopes = {"read:packages"}
    text = await told(o8, "setup", *arguments, code=4)
    assert scope in " ".join(text.split())


@pytest.mark.parametrize("arguments", [["acme/../x"], ["acme", "--repo", "../x"], ["acme", "--repo", "a/b"], ["a b"]])
async def test_what_is_no_name_is_refused_before_anybody_is_asked(
    o8: Run, api: FakeGitHub, house: House, arguments: list[str]
) -> None:
    await told(o8, "setup", *arguments, code=2)
    assert not api.asked


@pytest.mark.parametrize(("chosen", "said"), [
    ({"github_pat": TOKEN}, "Set PUBLIC_URL, where the internet reaches o8"),
    ({"github_pat": TOKEN, "public_url": "https://o8.example.org"}, "Set GITHUB_WEBHOOK_SECRET"),
    ({"github_webhook_secret": SECRET, "public_url": "https://o8.example.org"}, "Set GITHUB_PAT to a classic token"),
])  # fmt: skip
async def test_what_is_not_set_is_said_before_anybody_is_asked(
    tmp_path: Path, api: FakeGitHub, chosen: dict[str, str], said: str
) -> None:
    async with open_house(tmp_path, github_api_url=api.url, **chosen) as house:
        status, problem = await house.ask("POST", "/github/webhook", {"owner": "acme"})
        assert status == 409 and said in problem["next_step"]
        _, found = await house.ask("GET", "/github/webhook?owner=acme")
        assert [finding["state"] for finding in found][-1] == "fault"
    assert not api.asked


# -- why nothing arrives


async def test_all_is_well(o8: Run, api: FakeGitHub, hook: StoredHook, house: House) -> None:
    assert "GitHub knows of no push in the last three days" in await told(o8, "check")
    await push(api, "0002")
    assert "ghcr.io/acme/web:0002 arrived at" in await told(o8, "check", "acme")
    await push(api, "0001", "nobodys")
    text = await told(o8, "check", "acme")
    assert "was ignored: no service uses ghcr.io/acme/nobodys" in text


async def test_one_of_the_same_content_twice_is_no_stranger(
    o8: Run, api: FakeGitHub, hook: StoredHook, front: Front, house: House
) -> None:
    api.add_hook("orgs/acme", front.url + OWN, SECRET)
    await push(api, "0002")
    text = await told(o8, "check")
    assert "o8 had its content already" in text


Spoil = Callable[[FakeGitHub, StoredHook, Front], Any]


def wrongly_set(**values: Any) -> Spoil:
    def spoil(api: FakeGitHub, hook: StoredHook, front: Front) -> None:
        for name, value in values.items():
            if name in ("active", "events"):
                setattr(hook, name, value)
            else:
                hook.config[name] = value

    return spoil


def answers(status: int, text: str = "", **headers: str) -> Spoil:
    def spoil(api: FakeGitHub, hook: StoredHook, front: Front) -> None:
        front.status, front.text, front.headers = status, text, headers

    return spoil


def gone(api: FakeGitHub, hook: StoredHook, front: Front) -> None:
    api.hooks.remove(hook)


def elsewhere(api: FakeGitHub, hook: StoredHook, front: Front) -> None:
    hook.config["url"] = "https://old.example.org" + OWN


CASES: dict[str, tuple[Spoil, str]] = {
    "no webhook": (gone, "No webhook delivers to {url}. -> `o8 github setup acme` makes one"),
    "another address": (elsewhere, "one delivers to https://old.example.org/webhooks/github"),
    "switched off": (wrongly_set(active=False), "is switched off. -> `o8 github setup acme` switches it on"),
    "wrong event": (wrongly_set(events=["push", "issues"]), "It is sent for push, issues, and not for packages"),
    "wrong secret": (wrongly_set(secret="something else entirely"),
                     "the secret is wrong (o8 answered 401). -> `o8 github setup acme` gives GitHub the first"),
    "no secret": (wrongly_set(secret=""), "It has no secret, so o8 refuses what it sends (401)"),
    "redirect": (answers(301, Location="https://x.example.org"), "redirects (301), which GitHub does not follow"),
    "login before o8": (answers(401, "<h1>401</h1>"), "what stands before o8 wants a login (401)"),
    "no location": (answers(404, "<h1>nginx</h1>"), "is not o8 (404)"),
    "large body": (answers(413), "nginx takes no body of that size (413). -> Set `client_max_body_size 25m`"),
    "o8 is down": (answers(502, "<h1>502</h1>"), "nginx answers, but not o8 (502). -> Is o8 running?"),
    "another answers": (answers(200, "<h1>Welcome to nginx!</h1>"), "GitHub got 200 for the delivery of"),
    "odd": (answers(418), "the answer was 418. -> From outside, `curl -i {url}` must answer 405"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
async def test_each_reason_is_named(
    o8: Run, api: FakeGitHub, hook: StoredHook, front: Front, house: House, name: str
) -> None:
    spoil, said = CASES[name]
    spoil(api, hook, front)
    await push(api, "0002")
    text = " ".join((await told(o8, "check", "acme", code=1)).split())
    assert said.format(url=front.url + OWN) in text


@pytest.mark.parametrize(("values", "said"), [
    ({"content_type": "form"}, "Its content type is a form"),
    ({"insecure_ssl": "1"}, "GitHub does not check the certificate"),
])  # fmt: skip
async def test_what_works_all_the_same_is_a_warning(
    o8: Run, api: FakeGitHub, hook: StoredHook, front: Front, house: House, values: dict[str, str], said: str
) -> None:
    wrongly_set(**values)(api, hook, front)
    await push(api, "0002")
    text = await told(o8, "check")
    assert f"WARNING webhook of acme: {said}" in text and "0002 arrived at" in text


@pytest.mark.parametrize(("status", "code", "said"), [
    ("failed to connect to host", 502, "GitHub cannot reach"),
    ("timed out", 504, "GitHub cannot reach"),
    ("couldn't connect to server", 0, "GitHub cannot reach"),
    ("", 0, "(no answer)"),
    ("SSL certificate problem: certificate has expired", 0, "GitHub does not trust the certificate"),
])  # fmt: skip
async def test_who_cannot_be_reached(
    o8: Run, api: FakeGitHub, hook: StoredHook, front: Front, house: House, status: str, code: int, said: str
) -> None:
    await front.close()
    sent = (await push(api, "0002"))[0]
    sent.status, sent.status_code = status, code
    assert said in await told(o8, "check", code=1)


async def test_o8s_own_refusals_are_told_in_its_words(
    o8: Run, api: FakeGitHub, hook: StoredHook, front: Front, house: House
) -> None:
    front.status = 503
    front.text = json.dumps({"code": "too_busy", "detail": "16 deliveries are being received already.",
                             "next_step": "Deliver it again in a moment."})  # fmt: skip
    await push(api, "0002")
    assert "o8 answered 503: 16 deliveries are being received already." in await told(o8, "check", code=1)


async def test_what_arrived_and_failed_inside_o8_is_told(
    o8: Run, api: FakeGitHub, hook: StoredHook, house: House
) -> None:
    sent = (await push(api, "0002"))[0]
    await house.services.store.processed(sent.guid, failure="web: the registry says no")
    assert "could not be used: web: the registry says no" in await told(o8, "check", code=1)


async def test_only_the_newest_push_counts(
    o8: Run, api: FakeGitHub, hook: StoredHook, front: Front, house: House
) -> None:
    front.status = 502
    await push(api, "0002", at=datetime.now(UTC) - timedelta(hours=1))
    front.status = 0
    await push(api, "0003")
    assert "0003 arrived at" in await told(o8, "check")


async def test_a_ping_after_a_failed_push_shows_that_it_is_mended(
    o8: Run, api: FakeGitHub, hook: StoredHook, house: House
) -> None:
    hook.config["secret"] = "something else entirely"
    await push(api, "0002")
    assert "`o8 github setup acme` gives GitHub the first" in await told(o8, "check", code=1)
    await told(o8, "setup", "acme")
    text = await told(o8, "check")
    assert "WARNING webhook of acme: The package delivery of" in text and "A ping has arrived since then." in text


async def test_a_ping_says_nothing_of_a_body_that_is_too_large(
    o8: Run, api: FakeGitHub, hook: StoredHook, front: Front, house: House
) -> None:
    front.status = 413
    await push(api, "0002")
    front.status = 0
    await told(o8, "setup", "acme")
    assert "takes no body of that size (413)" in await told(o8, "check", code=1)


async def test_a_token_that_has_ended_is_not_asked_for_more_rights_alone(
    o8: Run, api: FakeGitHub, hook: StoredHook, house: House
) -> None:
    await told(o8, "setup", "acme", "--dry-run")  # from then on it is known what `acme` is
    api.tokens.clear()
    for command, code in (("setup", 4), ("check", 1)):
        text = await told(o8, command, "acme", code=code)
        assert "GITHUB_PAT has ended, or was taken back: make a new one." in " ".join(text.split())


async def test_a_failed_ping_is_a_reason_too(o8: Run, api: FakeGitHub, hook: StoredHook, house: House) -> None:
    hook.config["secret"] = "something else entirely"
    await api.deliver(hook, "ping", {"zen": "Keep it logically awesome.", "organization": {"login": "acme"}})
    assert "The ping delivery of" in await told(o8, "check", code=1)


async def test_a_package_that_is_linked_to_nothing_is_named(
    o8: Run, api: FakeGitHub, front: Front, house: House
) -> None:
    api.publish("acme", "shop", "0001")
    await house.add("shop", image="ghcr.io/acme/shop")
    api.add_hook("repos/acme/site", front.url + OWN, SECRET)
    await house.services.catalogue.refresh()
    text = await told(o8, "check", code=1)
    assert "FAULT   ghcr.io/acme/shop: This package is linked to no repository" in text
    assert "ok      webhook of acme/site: It is as it is to be." in text
    assert "org.opencontainers.image.source" in text


async def test_with_a_webhook_of_the_organization_links_do_not_matter(
    o8: Run, api: FakeGitHub, hook: StoredHook, house: House
) -> None:
    api.repositories.clear()
    await house.services.catalogue.refresh()
    assert "linked" not in await told(o8, "check")


async def test_a_repository_without_a_webhook_beside_one_with(
    o8: Run, api: FakeGitHub, front: Front, house: House
) -> None:
    api.publish("acme", "shop", "0001")
    api.repositories["acme", "shop"] = "acme/shop"
    await house.add("shop", image="ghcr.io/acme/shop")
    api.add_hook("repos/acme/site", front.url + OWN, SECRET)
    await house.services.catalogue.refresh()
    text = await told(o8, "check", code=1)
    assert "FAULT   webhook of acme/shop: No webhook delivers to" in text and "--repo shop" in text


async def test_without_the_right_to_look_it_says_which(o8: Run, api: FakeGitHub, hook: StoredHook,
                                                       house: House) -> None:  # fmt: skip
    api.scopes = {"read:packages"}
    text = await told(o8, "check", code=1)
    assert "FAULT   webhook of acme: It cannot be seen." in text and "`admin:org_hook`" in text


async def test_with_the_right_for_repositories_alone_those_are_checked(
    o8: Run, api: FakeGitHub, front: Front, house: House
) -> None:
    api.scopes = {"read:packages", "admin:repo_hook"}
    api.add_hook("repos/acme/site", front.url + OWN, SECRET)
    await house.services.catalogue.refresh()
    text = await told(o8, "check")
    assert "WARNING webhook of acme: It cannot be seen." in text and "ok      webhook of acme/site" in text


async def test_a_user_without_a_webhook(o8: Run, api: FakeGitHub, house: House) -> None:
    api.publish("ada", "notes", "0001")
    api.users.add("ada")
    text = await told(o8, "check", "ada", code=1)
    assert "A user has none for all packages" in text and "o8 github setup ada --repo REPOSITORY" in text
    assert "nobody" in await told(o8, "check", "nobody", code=1)


async def test_a_used_up_limit_is_a_finding(o8: Run, api: FakeGitHub, hook: StoredHook, house: House) -> None:
    api.remaining = 0
    assert "FAULT   GitHub: GitHub's rate limit is used up" in await told(o8, "check", code=1)


async def test_findings_for_programs(o8: Run, hook: StoredHook, house: House) -> None:
    (finding, *_) = json.loads(await told(o8, "check", "--json"))[-1:]
    assert finding["state"] == "ok" and finding["subject"] == "webhook of acme"


# -- with an App


@pytest.fixture
async def app_house(tmp_path: Path, api: FakeGitHub, front: Front) -> Any:
    (tmp_path / "app").mkdir()
    chosen = {"github_app_id": CLIENT_ID, "github_app_key": api.app_key, "github_webhook_secret": SECRET}
    async with open_house(tmp_path / "app", github_api_url=api.url, public_url=front.url, **chosen) as house:
        front.behind = await house.open_to_all()
        await house.add()
        yield house


async def test_an_apps_webhook_is_set_and_checked(app_house: House, api: FakeGitHub, front: Front) -> None:
    async def check() -> str:
        status, found = await app_house.ask("GET", "/github/webhook")
        assert status == 200
        return "\n".join(
            f"{each['state']} {each['subject']}: {each['message']} -> {each['next_step']}" for each in found
        )

    text = await check()
    assert "fault App at acme: It is not installed at acme" in text
    assert "fault App: No webhook delivers to" in text and "`o8 github setup acme` makes one" in text
    api.installations["acme"] = 12
    assert (await app_house.ask("POST", "/github/webhook", {"owner": "acme"}))[0] == 200
    assert api.app_hook.config == {
        "url": front.url + OWN, "content_type": "json", "secret": SECRET, "insecure_ssl": "0",
    }  # fmt: skip
    api.app_events = []
    text = await check()
    assert "not for packages" in text and "Subscribe to events, Registry package" in text
    api.app_events = ["registry_package"]
    await push(api, "0002")
    text = await check()
    assert "ok App: ghcr.io/acme/web:0002 arrived at" in text and "fault" not in text


async def test_an_app_without_a_webhook_says_what_to_switch_on(app_house: House, api: FakeGitHub) -> None:
    api.installations["acme"] = 12
    for _ in range(2):
        api.replies += [None, Reply(404, {"message": "Not Found"})]
    _, (*_, finding) = await app_house.ask("GET", "/github/webhook")
    assert finding["state"] == "fault" and "switched on in the App's settings" in finding["next_step"]
    status, problem = await app_house.ask("POST", "/github/webhook", {"owner": "acme"})
    assert status == 409 and "switched on in the App's settings" in problem["next_step"]


async def test_a_dry_run_leaves_an_apps_webhook_as_it_is(app_house: House, api: FakeGitHub) -> None:
    before = {**api.app_hook.config}
    _, found = await app_house.ask("POST", "/github/webhook", {"owner": "acme", "dry_run": True})
    assert api.app_hook.config == before
    assert "would deliver to" in found[-1]["message"] and found[0]["state"] == "fault"
