"""Commands that change which release serves."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bot.models import Kind, State
from bot.permissions import Action
from tests.chatops.talking import ADA, BOB, CAROL, ROOT, Talks, actor, labels, whole

pytestmark = pytest.mark.slow

APPROVED = {"follow": {"auto_deploy": "approve"}}


async def waiting(talks: Talks, who: str = ADA) -> int:
    """A deployment of `web` that somebody has asked for and that waits for approval."""
    await talks.house.add("web", **APPROVED)
    reply = await talks.say(who, "deploy web 0001 -- please")
    found = await talks.newest()
    assert reply.text == (
        f"Deployment {found.id} of web to 0001 waits for approval by somebody else; its card is in #deployments."
    )
    assert found.state is State.WAITING
    return found.id


async def test_deploying_says_what_is_deployed_and_where_it_can_be_watched(live: Talks) -> None:
    live.house.registry.push("0003")
    reply = await live.say(ADA, "deploy web 3 -- fixes the login")
    assert reply.text == "Deployment 3 of web to 0003 is queued; its card is in #deployments."
    found = await live.ended()
    assert (found.state, found.tag, found.actor, found.reason) == (
        State.SUCCEEDED, "0003", actor(ADA), "fixes the login"
    )  # fmt: skip


async def test_a_release_may_be_named_by_number_id_or_digest(live: Talks) -> None:
    digest = live.house.registry.found["0001"]
    for name in ("1", "0001", "#{id}", digest, digest[7:]):
        (release,) = [r for r in await live.house.services.store.releases("web") if r.digest == digest]
        assert not (await live.say(ADA, f"deploy web {name.format(id=release.id)}")).is_refusal
        assert (await live.ended()).digest == digest, name
        await live.say(ADA, "deploy web 0002")
        assert (await live.ended()).tag == "0002"


async def test_without_a_release_the_newest_is_deployed(live: Talks) -> None:
    live.house.registry.push("0010")
    assert "of web to its newest release" in (await live.say(ADA, "deploy web")).text
    assert (await live.ended()).tag == "0010"


async def test_what_runs_already_is_not_deployed_again_and_a_restart_is_offered(live: Talks) -> None:
    for name in ("2", "0002", "#2"):
        reply = await live.say(ADA, f"deploy web {name}")
        assert reply.text == "web runs 0002 already."
        assert labels(reply) == ["Restart"]
    assert (await live.newest()).id == 2
    assert "of web for a restart" in (await live.press(ADA, reply, "Restart")).text
    assert (await live.ended()).kind is Kind.RESTART


async def test_an_unknown_release_is_looked_for_and_fails_as_a_deployment(live: Talks) -> None:
    await live.say(ADA, "deploy web 0404")
    assert (await live.ended()).error_code == "image_not_found"
    assert (await live.say(ADA, "deploy web 'not a tag'")).text.startswith("'not a tag' is neither a tag nor a digest.")
    reply = await live.say(ADA, "deploy web #404")
    assert reply.text == "web has no release '#404'. Its releases: 0002, 0001."


async def test_a_dry_run_says_what_would_happen_and_deploys_nothing(live: Talks) -> None:
    live.house.registry.push("0003")
    reply = await live.say(ADA, "deploy web --dry-run")
    assert reply.text == "0003 of web would be deployed."
    assert [detail[:10] for detail in reply.details] == ["Now: 0002 ", "Then: 0003"]
    assert (await live.say(ADA, "deploy web 2 --dry-run")).text == "0002 of web runs already; nothing would change."
    await live.say(BOB, "hold web -- because")
    assert "`/o8 status web` says what hinders it." in (await live.say(ADA, "deploy web --dry-run")).details
    assert (await live.newest()).id == 2
    assert (await live.press(ADA, reply, "Deploy")).text.startswith("Deployment 3 of web to 0003")


async def test_a_dry_run_without_a_service_opens_no_form_that_would_deploy(talks: Talks) -> None:
    for switch in ("--dry-run", "--bypass"):
        reply = await talks.say(ADA, f"deploy {switch}")
        assert reply.is_refusal
        assert reply.form is None


async def test_without_a_service_a_form_asks_for_it_and_rights_are_checked_when_it_comes_back(live: Talks) -> None:
    live.house.registry.push("0003")
    form = await live.say(ADA, "deploy")
    assert form.form
    assert [field.name for field in form.form.fields] == ["svc", "release", "reason"]
    assert "You need `deploy`" in (await live.fill_in(CAROL, form, svc="web", release="0003")).text
    assert "There is no service 'shop'" in (await live.fill_in(ADA, form, svc="shop", release="0003")).text
    reply = await live.fill_in(ADA, form, svc="web", release="0003", reason="why not")
    assert reply.text.startswith("Deployment 3 of web to 0003")
    assert (await live.ended()).reason == "why not"


async def test_a_refusal_names_the_right_its_scope_who_can_give_it_and_asks_for_it(talks: Talks) -> None:
    reply = await talks.say(CAROL, "deploy web")
    assert reply.is_refusal
    assert reply.text.startswith("You need `deploy` in `service:web` for this. root can grant it")
    assert labels(reply) == ["Ask for deploy"]
    asked = await talks.press(CAROL, reply, "Ask for")
    assert asked.text == "Request 1 is made. root can grant it."
    assert (await talks.say(ROOT, "grant-request 1")).text == "Request 1 of carol is granted."
    assert (await talks.say(CAROL, "deploy web")).text.startswith("Deployment 1 of web to its newest release is queued")


async def test_where_approval_is_needed_somebody_else_gives_it(talks: Talks) -> None:
    id = await waiting(talks)
    own = await talks.say(ADA, f"approve {id}")
    assert own.is_refusal
    assert own.text.startswith(f"Deployment {id} is your own; somebody else has to decide about it. `/o8 cancel {id}`")
    assert not own.buttons, "no right that could be asked for would help"
    assert (await talks.newest()).state is State.WAITING
    assert (await talks.say(BOB, f"approve {id}")).text == (
        f"Deployment {id} of web to 0001 is queued; its card is in #deployments."
    )
    assert (await talks.newest()).approved_by == actor(BOB)
    assert "does not wait for approval" in (await talks.say(BOB, f"approve {id}")).text


async def test_what_waits_is_in_the_queue_with_a_button_to_approve_it(talks: Talks) -> None:
    id = await waiting(talks)
    reply = await talks.say(BOB, "queue")
    assert reply.table[1][:4] == (str(id), "web", "0001", "waiting")
    assert (await talks.press(BOB, reply, f"Approve {id}")).text.startswith(f"Deployment {id} of web to 0001 is queued")
    assert labels(await talks.say(CAROL, "queue")) == []


async def test_bypassing_approval_needs_manage(talks: Talks) -> None:
    await talks.house.add("web", **APPROVED)
    reply = await talks.say(ADA, "deploy web 0001 --bypass")
    assert reply.text.startswith("You need `manage` in `service:web`")
    assert labels(reply) == ["Ask for manage"]
    assert (await talks.say(BOB, "deploy web 0001 --bypass")).text.startswith("Deployment 1 of web to 0001 is queued")


async def test_rejecting_asks_why_and_is_never_for_ones_own(talks: Talks) -> None:
    id = await waiting(talks)
    assert (await talks.say(ADA, f"reject {id} -- no")).text.startswith(f"Deployment {id} is your own")
    form = await talks.say(BOB, f"reject {id}")
    assert form.form
    assert form.form.fixed == {"id": str(id)}
    assert "You need `deploy`" in (await talks.fill_in(CAROL, form, reason="no")).text
    assert (await talks.newest()).state is State.WAITING
    assert (await talks.fill_in(BOB, form, reason="not today")).text == f"Deployment {id} of web 0001 is rejected."
    found = await talks.newest()
    assert (found.state, found.error) == (State.CANCELLED, "Rejected by bob: not today")
    again = await waiting(talks)
    assert (await talks.say(BOB, f"reject {again} -- nor now")).text == f"Deployment {again} of web 0001 is rejected."


async def test_what_has_not_switched_can_be_cancelled(talks: Talks) -> None:
    await talks.say(ADA, "deploy web 0001")
    assert (await talks.say(CAROL, "cancel 1")).text.startswith("You need `deploy` in `service:web`")
    assert (await talks.say(ADA, "cancel 1")).text == "Deployment 1 of web 0001 is being cancelled."
    assert (await talks.newest()).state is State.CANCELLED
    assert "cannot be cancelled: it is cancelled" in (await talks.say(ADA, "cancel 1")).text


@pytest.mark.parametrize("verb", ["approve", "cancel", "reject"])
async def test_deployments_of_hidden_services_answer_like_ones_that_do_not_exist(talks: Talks, verb: str) -> None:
    await talks.say(ROOT, "deploy shop 0001")
    for command in (f"{verb} {{}}", f"{verb} {{}} -- why"):
        if "--" in command and verb != "reject":
            continue
        hidden, missing = [await talks.say(ADA, command.format(id)) for id in (1, 2)]
        assert whole(hidden).replace("1", "2") == whole(missing)
    assert (await talks.newest("shop")).state is State.QUEUED


async def test_a_hold_stops_pushes_not_people(live: Talks) -> None:
    assert labels(await live.say(BOB, "hold web -- moving")) == ["Resume"]
    assert "On hold by bob: moving." in (await live.say(ADA, "status web")).details
    await live.say(ADA, "deploy web 0001")
    assert (await live.ended()).state is State.SUCCEEDED
    assert "You need `manage`" in (await live.say(ADA, "hold web -- me too")).text
    reply = await live.say(ADA, "resume web")
    assert reply.text.startswith("The hold of web is lifted: deployment 4 of 0002: queued")
    assert (await live.ended()).tag == "0002"


async def test_a_lock_says_who_since_when_until_when_and_why_and_can_be_taken_over(live: Talks) -> None:
    store = live.house.services.store
    await live.say(ADA, "lock web --for 2h -- moving the database.")
    lock = (await store.service("web")).lock
    assert lock
    assert lock.until - lock.since == timedelta(hours=2)
    words = f"web is locked by ada since {lock.since:%H:%M} UTC until {lock.until:%H:%M} UTC: moving the database."
    changes = (
        "deploy web 0001",
        "rollback web --yes",
        "restart web",
        "lock web -- me",
        "scale web 2",
        "config web cpus=2",
    )
    for text in changes:
        for who, offered in ((ADA, ["Unlock"]), (BOB, ["Take over"]), (ROOT, ["Take over"])):
            if who != ROOT and text.startswith(("config", "scale")):  # for which not all have the right
                continue
            reply = await live.say(who, text)
            assert (reply.text, labels(reply), reply.is_refusal) == (words, offered, True), (who, text)
    assert (await live.newest()).id == 2
    assert (await store.service("web")).configuration.fingerprint == (await live.newest()).configuration.fingerprint
    (take,) = reply.buttons
    assert (take.confirm, take.style) == ("Lift the lock of ada? They are told.", "danger")
    assert (await live.press(ROOT, reply, "Take over")).text == "web is not locked any more."
    assert live.stage.told == [(ADA, "Your lock of web (moving the database.) was lifted by root.")]


async def test_somebody_elses_lock_is_lifted_only_by_who_may_manage_and_says_so(talks: Talks) -> None:
    await talks.house.services.store.grant("carol", Action.DEPLOY, "service:web", "o8")
    await talks.say(ADA, "lock web -- moving")
    refused = await talks.say(CAROL, "deploy web")
    assert refused.details == ("Somebody who may `manage` web can take it over.",)
    assert not refused.buttons
    assert "You need `manage`" in (await talks.say(CAROL, "unlock web --steal")).text
    assert "web is locked by ada" in (await talks.say(BOB, "unlock web")).text, "not without --steal"
    assert (await talks.say(BOB, "unlock web --steal")).text == "web is not locked any more."
    assert (await talks.say(BOB, "unlock web")).text == "web is not locked."
    assert await talks.audited("unlock") == [actor(BOB)]


async def test_ones_own_lock_is_lifted_without_telling_anybody(talks: Talks) -> None:
    reply = await talks.say(ADA, "lock web -- moving")
    assert (await talks.press(ADA, reply, "Unlock")).text == "web is not locked any more."
    assert talks.stage.told == []


async def test_a_lock_that_is_over_is_none(talks: Talks) -> None:
    await talks.say(ADA, "lock web -- moving")
    store = talks.house.services.store
    lock = (await store.service("web")).lock
    assert lock
    await store.set_lock("web", lock.model_copy(update={"until": lock.since}))
    assert (await talks.say(CAROL, "locks")).text == "No service is locked."
    assert (await talks.say(BOB, "unlock web")).text == "web is not locked."
    assert (await talks.say(BOB, "lock web -- mine now")).text.endswith(": mine now.")


async def test_a_lock_lasts_four_hours_unless_said_and_a_month_at_most(talks: Talks) -> None:
    await talks.say(ADA, "lock web -- moving")
    lock = (await talks.house.services.store.service("web")).lock
    assert lock
    assert lock.until - lock.since == timedelta(hours=4)
    await talks.say(ADA, "unlock web")
    for length in ("59s", "31d"):
        assert "from one minute to 30 days" in (await talks.say(ADA, f"lock web --for {length} -- why")).text


async def test_a_rollback_asks_first_and_keeps_its_reason(live: Talks) -> None:
    reply = await live.say(ADA, "rollback web -- it's slow")
    assert reply.text == "web runs 0002. Roll back to 0001 (#1)?"
    assert (await live.newest()).id == 2
    assert (await live.press(ADA, reply, "Roll back to 0001")).text.startswith(
        "Deployment 3 of web back to 0001 is queued"
    )
    found = await live.ended()
    assert (found.kind, found.tag, found.reason) == (Kind.ROLLBACK, "0001", "it's slow")
    hold = (await live.house.services.store.service("web")).hold
    assert hold
    assert hold.actor == actor(ADA)


async def test_a_rollback_to_what_there_is_not_names_what_there_is(live: Talks) -> None:
    for text in ("rollback web 7", "rollback web 7 --yes"):
        assert (await live.say(ADA, text)).text == "web has no release '7'. Its releases: 0002, 0001."
    assert (await live.say(ADA, "rollback web 2")).text.startswith("0002 is live already.")
    assert (await live.say(ROOT, "rollback shop --yes")).text.startswith("shop has never been deployed.")


async def test_stopping_asks_first_and_what_is_stopped_can_be_started(live: Talks) -> None:
    assert "You need `manage`" in (await live.say(ADA, "stop web")).text
    reply = await live.say(BOB, "stop web")
    assert reply.text == "Stop web? Its visitors will see the maintenance page."
    assert not (await live.house.services.store.service("web")).is_stopped
    stopped = await live.press(BOB, reply, "Stop web")
    assert stopped.text == "web is stopped."
    assert "web" in live.house.nginx.in_maintenance
    assert "web is stopped" in (await live.say(ADA, "status web")).text
    assert "You need `manage`" in (await live.say(ADA, "start web")).text
    assert (await live.press(BOB, stopped, "Start")).text.startswith("Deployment 3 of web for a start is queued")
    assert (await live.ended()).state is State.SUCCEEDED
    assert (await live.say(BOB, "start web")).text.startswith("web is not stopped. `/o8 restart web`")


async def test_the_number_of_replicas_is_changed_by_who_may_manage(live: Talks) -> None:
    assert "You need `manage`" in (await live.say(ADA, "scale web 2")).text
    assert (await live.say(BOB, "scale web 2")).text.startswith("Deployment 3 of web with what was changed is queued")
    assert (await live.ended()).configuration.replicas == 2
    assert (await live.say(BOB, "scale web 2")).text == "web has 2 replicas."
    for wrong in ("0", "99"):
        assert (await live.say(BOB, f"scale web {wrong}")).is_refusal


async def test_a_restart_is_a_deployment_of_the_same_release(live: Talks) -> None:
    assert "You need `deploy`" in (await live.say(CAROL, "restart web")).text
    assert (await live.say(ADA, "restart web -- leaks")).text.startswith("Deployment 3 of web for a restart is queued")
    found = await live.ended()
    assert (found.kind, found.tag, found.reason) == (Kind.RESTART, "0002", "leaks")
