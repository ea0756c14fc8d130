"""Rights in chat: the first admin, grants, wishes, and what one sees of them; packages that become services."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from bot import authority
from bot.permissions import Action
from bot.store.packages import seen
from tests.chatops.talking import ADA, BOB, CAROL, NOBODY, ROOT, STRANGER, TEAM, Talks, actor, cells, labels, whole

pytestmark = pytest.mark.slow

SHOP, CART = "ghcr.io/acme/shop", "ghcr.io/acme/cart"
WRONG = "That code is wrong, used or too old."


async def rights(talks: Talks, name: str) -> set[tuple[str, str]]:
    found = await talks.house.services.store.user(name)
    return {(grant.action.value, grant.scope) for grant in found.grants}


async def pushed(talks: Talks, image: str, tag: str = "0007") -> None:
    await talks.house.services.store.write(lambda db: seen(db, image, tag, ""))


async def test_the_right_code_makes_an_admin_of_everything_once(talks: Talks) -> None:
    code = await talks.house.services.authority.new_code()
    assert (await talks.say(STRANGER, f"hello {code.lower()}")).text == "Welcome: you are admin of everything."
    assert await rights(talks, "stranger") == {("admin", "global")}
    assert (await talks.say(STRANGER, "status web")).text.startswith("web has never been deployed")
    assert (await talks.say("UOTHER", f"hello {code}")).text == WRONG
    assert await talks.audited("hello") == [actor(STRANGER)]


async def test_a_code_is_void_after_five_wrong_ones(talks: Talks) -> None:
    code = await talks.house.services.authority.new_code()
    for _ in range(4):
        assert (await talks.say(STRANGER, "hello 0000000000")).text == WRONG
    assert not (await talks.say(CAROL, f"hello {code}")).is_refusal, "the control: four are forgiven"
    code = await talks.house.services.authority.new_code()
    for _ in range(5):
        await talks.say(STRANGER, "hello 0000000000")
    assert (await talks.say(STRANGER, f"hello {code}")).text == WRONG
    assert "does not know you" in (await talks.say(STRANGER, "status")).text


async def test_a_code_that_is_too_old_is_none(talks: Talks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authority, "CODE_LASTS", timedelta(seconds=-1))
    code = await talks.house.services.authority.new_code()
    assert (await talks.say(STRANGER, f"hello {code}")).text == WRONG


async def test_of_two_who_send_the_code_at_once_one_becomes_admin(talks: Talks) -> None:
    code = await talks.house.services.authority.new_code()
    replies = await asyncio.gather(*(talks.say(who, f"hello {code}") for who in (STRANGER, "UOTHER", CAROL)))
    assert sorted(reply.is_refusal for reply in replies) == [False, True, True]


async def test_a_code_is_not_written_down_with_the_commands(talks: Talks) -> None:
    code = await talks.house.services.authority.new_code()
    await talks.say(STRANGER, f"hello {code}")
    assert not await talks.house.services.store.read(lambda db: list(db.query("SELECT * FROM asks")))


async def test_a_grant_to_an_account_that_o8_does_not_know_makes_its_user(talks: Talks) -> None:
    reply = await talks.say(ROOT, "grant <@USTRANGER|whoever> deploy web --for 8h")
    assert reply.text.startswith("stranger has deploy in service:web until ")
    user = await talks.house.services.store.user("stranger")
    assert user.slack == (f"{TEAM}:{STRANGER}",)
    (grant,) = user.grants
    assert grant.expires_at
    assert timedelta(hours=7, minutes=59) < grant.expires_at - datetime.now(UTC) <= timedelta(hours=8)
    ((who, words),) = talks.stage.told
    assert who == STRANGER
    assert words.startswith("root gave you `deploy` in `service:web` until ")
    assert (await talks.say(STRANGER, "services")).text == "You see 1 service."


async def test_a_grant_to_a_username_is_for_ever_unless_said(talks: Talks) -> None:
    assert (await talks.say(ROOT, "grant @nobody view-status web")).text == "nobody has view_status in service:web."
    assert (await talks.house.services.store.user("nobody")).grants[0].expires_at is None
    assert (await talks.say(ROOT, "grant nosuch deploy web")).text.startswith("There is no user 'nosuch'. `/o8 access`")
    assert (await talks.say(ROOT, "grant ada add_new_service web")).is_refusal
    assert "There is no service 'none'" in (await talks.say(ROOT, "grant ada deploy none")).text


async def test_only_an_admin_of_the_scope_grants_and_revokes(talks: Talks) -> None:
    for text in ("grant carol deploy web", f"grant <@{CAROL}> deploy web", "revoke ada deploy web"):
        reply = await talks.say(BOB, text)
        assert reply.text.startswith("You need `admin` in `service:web` for this.")
        assert labels(reply) == ["Ask for admin"]
    await talks.house.services.store.grant("bob", Action.ADMIN, "service:web", "o8")
    assert not (await talks.say(BOB, "grant carol deploy web")).is_refusal
    assert (await talks.say(BOB, "grant carol deploy global")).text.startswith("You need `admin` in `global`")
    hidden, missing = await talks.say(BOB, "grant carol deploy shop"), await talks.say(BOB, "grant carol deploy none")
    assert whole(hidden).replace("shop", "none") == whole(missing)


async def test_who_may_not_revoke_learns_no_usernames(talks: Talks) -> None:
    known, unknown = [await talks.say(CAROL, f"revoke {who} deploy web") for who in ("ada", "nosuch")]
    assert known == unknown


async def test_what_is_revoked_is_gone_at_once(talks: Talks) -> None:
    assert (await talks.say(ROOT, f"revoke <@{ADA}> deploy web")).text == "ada has deploy in service:web no more."
    assert "You need `deploy`" in (await talks.say(ADA, "deploy web")).text
    assert (await talks.say(ROOT, "revoke ada deploy web")).text.startswith("ada has no ")
    assert (await talks.say(ROOT, "revoke <@UGONE> deploy web")).text.startswith("o8 does not know that account.")
    assert "must stay admin" in (await talks.say(ROOT, "revoke root admin global")).text


async def test_a_wish_is_granted_by_who_may_and_its_owner_is_told(talks: Talks) -> None:
    reply = await talks.say(CAROL, "request deploy web -- on call this week")
    assert reply.text == "Request 1 is made. root can grant it."
    assert (await talks.say(CAROL, "request deploy web -- please")).text.startswith("Request 1 asks for that already.")
    assert "You need `admin`" in (await talks.say(BOB, "grant-request 1")).text
    assert (await talks.say(ROOT, "grant-request 1 --for 8h")).text.startswith("Request 1 of carol is granted until ")
    assert ("deploy", "service:web") in await rights(talks, "carol")
    ((who, words),) = talks.stage.told
    assert (who, words.startswith("`deploy` in `service:web` was granted until ")) == (CAROL, True)
    assert (await talks.say(ROOT, "deny-request 1")).text == "Request 1 is not open any more."


async def test_a_wish_is_denied(talks: Talks) -> None:
    await talks.say(CAROL, "request deploy web -- why not")
    assert (await talks.say(ROOT, "deny-request 1")).text == "Request 1 of carol is denied."
    assert ("deploy", "service:web") not in await rights(talks, "carol")
    assert "was denied by root" in talks.stage.told[0][1]


async def test_nobody_decides_about_their_own_wish(talks: Talks) -> None:
    await talks.say(CAROL, "request deploy web -- why not")
    await talks.house.services.store.grant("carol", Action.ADMIN, "service:web", "o8")
    for text in ("grant-request 1", "deny-request 1"):
        assert (await talks.say(CAROL, text)).text.startswith("Nobody decides about their own wish.")
    assert not (await talks.say(ROOT, "grant-request 1")).is_refusal, "the control"


async def test_asking_for_a_hidden_service_is_as_asking_for_none(talks: Talks) -> None:
    hidden, missing = [await talks.say(ADA, f"request deploy {name} -- why") for name in ("shop", "none")]
    assert whole(hidden).replace("shop", "none") == whole(missing)
    assert not await talks.audited("request")


async def test_what_one_has_already_is_not_asked_for(talks: Talks) -> None:
    assert (
        await talks.say(ADA, "request view_status web -- why")
    ).text == "You have `view_status` in `service:web` already."


async def test_access_shows_to_each_what_they_may_know(talks: Talks) -> None:
    assert {row[0] for row in (await talks.say(ROOT, "access")).table[1:]} == {"root", "ada", "bob", "carol"}
    assert {row[0] for row in (await talks.say(CAROL, "access")).table[1:]} == {"carol"}
    assert (await talks.say(NOBODY, "access ada")).text == "There is nothing that you may see."
    for text in ("access ada", "access @ada", f"access <@{ADA}|x>"):
        assert {row[0] for row in (await talks.say(ROOT, text)).table[1:]} == {"ada"}, text
    assert {row[0] for row in (await talks.say(ROOT, "access web")).table[1:]} == {"root", "ada", "bob", "carol"}
    assert {row[0] for row in (await talks.say(ROOT, "access shop")).table[1:]} == {"root"}


async def test_linking_an_account_lets_it_speak_for_a_user(talks: Talks) -> None:
    assert "You need `admin` in `global`" in (await talks.say(BOB, "link <@USTRANGER> ada")).text
    assert (await talks.say(ROOT, "link <@USTRANGER> ada")).text == "That account speaks for ada now."
    assert (await talks.say(STRANGER, "whoami")).text == "You are ada."
    assert (await talks.say(ROOT, "link bob ada")).text.startswith("'bob' is no account of Slack.")


async def test_a_login_at_github_is_linked_to_a_person_or_a_user(talks: Talks) -> None:
    assert "You need `admin` in `global`" in (await talks.say(BOB, "link-github ada ada-l")).text
    assert (await talks.say(ROOT, "link-github ada @Ada-L")).text == "Ada-L at GitHub is ada now."
    assert (await talks.say(ROOT, f"link-github <@{BOB}> bob-b")).text == "bob-b at GitHub is bob now."
    assert (await talks.say(ROOT, "link-github <@USTRANGER> eve")).text.startswith("o8 does not know that account.")
    assert (await talks.say(ROOT, "unlink-github ada-l")).text == "ada-l at GitHub is ada's no more."
    assert (await talks.say(ROOT, "unlink-github ada-l")).text.startswith("'ada-l' is linked to nobody.")


async def test_whoami_says_what_one_may_and_how_to_get_more(talks: Talks) -> None:
    assert cells(await talks.say(CAROL, "whoami")) == ["view_status", "service:web", ""]
    assert (await talks.say(NOBODY, "whoami")).details[0].startswith("You have no right yet; `/o8 request ")
    assert (await talks.say(STRANGER, "whoami")).text.startswith("o8 does not know you yet.")


async def test_an_image_that_was_pushed_is_installed_by_a_form_and_deployed(talks: Talks) -> None:
    await pushed(talks, CART)
    assert "You need `add_new_service` in `global`" in (await talks.say(ADA, "available")).text
    await talks.house.services.store.grant("ada", Action.ADD_NEW_SERVICE, "global", "o8")
    offer = await talks.say(ADA, "available")
    assert cells(offer)[:2] == [CART, "0007"]
    talks.house.registry.push("0007")
    form = await talks.ready(await talks.press(ADA, offer, "Install acme/cart"))
    assert form.form
    assert form.form.fixed == {"image": CART, "release": "0007", "rest": "{}"}
    assert [field.value for field in form.form.fields][:2] == ["cart", "8080"]
    reply = await talks.fill_in(ADA, form, domains="cart.example.org, www.example.org", cpus="0.5", auto_deploy="off")
    assert reply.text.startswith("Deployment 1 of cart to 0007 is queued")
    found = (await talks.house.services.store.service("cart")).configuration
    assert found.domains == ("cart.example.org", "www.example.org")
    assert (found.limits.cpus, found.follow.auto_deploy, found.port) == (0.5, "off", 8080)
    assert (await talks.say(ADA, "available")).text.startswith("Nothing to install")


@pytest.mark.parametrize(("entered", "words"), [
    ({"port": "lots"}, "port"), ({"name": "Not A Name"}, "name"), ({"memory": "much"}, "limits.memory"),
    ({"health": "nowhere"}, "health.path"), ({"domains": "a b"}, "domains"),
])  # fmt: skip
async def test_a_form_with_wrong_values_installs_nothing_and_says_which(
    talks: Talks, entered: dict[str, str], words: str
) -> None:
    await pushed(talks, CART)
    reply = await talks.fill_in(ROOT, await talks.say(ROOT, f"install {CART}"), **entered)
    assert reply.is_refusal
    assert words in reply.text
    assert await talks.house.services.store.service_names() == ("shop", "web")


async def test_a_form_never_overwrites_a_service_of_that_name(talks: Talks) -> None:
    before = await talks.house.services.store.service("web")
    talks.house.registry.push("0001")
    reply = await talks.fill_in(ROOT, await talks.say(ROOT, f"install {CART}"), name="web")
    assert reply.text == "There is a service web already. Choose another name."
    assert await talks.house.services.store.service("web") == before


async def test_an_image_that_is_dismissed_is_not_offered_but_can_be_installed(talks: Talks) -> None:
    await pushed(talks, CART)
    assert (await talks.say(ROOT, f"dismiss {CART}")).text == f"{CART} is not offered any more."
    assert (await talks.say(ROOT, "available")).text.startswith("Nothing to install")
    assert (await talks.ready(await talks.say(ROOT, f"install {CART}:latest"))).form
    assert (await talks.say(ROOT, f"dismiss {SHOP}x")).text.startswith("No package ")


async def test_cards_are_routed_and_muted_by_who_may_manage(talks: Talks) -> None:
    for text in ("route web #team-web", "mute web 1h", "unmute web"):
        assert "You need `manage` in `service:web`" in (await talks.say(ADA, text)).text
    assert "C7 from now on" in (await talks.say(BOB, "route web <#C7|team-web>")).text
    assert (await talks.say(BOB, "mute web 1h")).text.startswith("web is muted until ")
    channel = await talks.house.services.store.channel_of("web")
    assert channel.channel == "C7"
    assert channel.muted_until
    assert (await talks.say(BOB, "unmute web")).text == "web is not muted any more."
    assert (await talks.house.services.store.channel_of("web")).muted_until is None
