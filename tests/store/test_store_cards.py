"""Whatever changes a deployment bumps its card in the same transaction; what was not committed bumps nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from sqlite_utils import Database

from bot.chat import Card, CardKind
from bot.deployer import STEPS
from bot.models import ENDINGS, Deployment, Kind, State
from bot.store import Store, packages
from tests.store.ledger import Ledger, digest

pytestmark = pytest.mark.slow


async def card(ledger: Ledger, deployment: Deployment) -> Card:
    return await ledger.store.card(CardKind.DEPLOYMENT, str(deployment.id))


async def show(ledger: Ledger) -> None:
    """As if Slack showed everything that is true now."""
    for due in await ledger.store.due_cards():
        await ledger.store.card_shown(due.id, due.wanted, "C1", f"1.{due.id}")


async def due(ledger: Ledger) -> list[str]:
    """Deployments whose cards do not show what is true."""
    return [one.subject for one in await ledger.store.due_cards() if one.kind is CardKind.DEPLOYMENT]


@pytest.fixture
async def web(ledger: Ledger) -> Ledger:
    await ledger.service()
    return ledger


async def cancel(ledger: Ledger, id: int) -> None:
    assert await ledger.store.cancel_pending(id, "not now")


async def expire(ledger: Ledger, id: int) -> None:
    await ledger.store.expire_queued("web", "no place")


async def supersede(ledger: Ledger, id: int) -> None:
    await ledger.want(tag="0002")


async def claim(ledger: Ledger, id: int) -> None:
    await ledger.claim()


async def hold_back(ledger: Ledger, id: int) -> None:
    await ledger.hold()
    await show(ledger)
    assert await ledger.store.claim("web") is None


async def stop(ledger: Ledger, id: int) -> None:
    await ledger.store.set_stopped("web", True)


async def forget(ledger: Ledger, id: int) -> None:
    await ledger.store.forget_service("web")


async def approve(ledger: Ledger, id: int) -> None:
    await ledger.store.approve(id, "cli:bob")


Change = Callable[[Ledger, int], Awaitable[None]]
FROM_QUEUE: list[tuple[Change, State]] = [
    (cancel, State.CANCELLED), (expire, State.FAILED), (supersede, State.SUPERSEDED), (claim, State.RESOLVING),
    (stop, State.CANCELLED), (forget, State.CANCELLED),
]  # fmt: skip


@pytest.mark.parametrize(("change", "after"), FROM_QUEUE, ids=[change.__name__ for change, _ in FROM_QUEUE])
async def test_leaving_the_queue_is_shown(web: Ledger, change: Change, after: State) -> None:
    wanted = await web.want(tag="0001")
    await show(web)
    before = await card(web, wanted)
    await change(web, wanted.id)
    assert (await web.store.deployment(wanted.id)).state is after
    found = await card(web, wanted)
    assert found.wanted > before.wanted == before.shown
    assert found.is_final == after.is_ending


async def test_being_held_back_when_it_is_its_turn_is_shown(web: Ledger) -> None:
    wanted = await web.push("0001")
    await show(web)
    await hold_back(web, wanted.id)
    assert (await web.store.deployment(wanted.id)).state is State.HELD
    assert await due(web) == [str(wanted.id)]


@pytest.mark.parametrize("change", [approve, cancel, supersede])
async def test_the_end_of_waiting_for_approval_is_shown(web: Ledger, change: Change) -> None:
    wanted = await web.want(tag="0001", needs_approval=True)
    await show(web)
    await change(web, wanted.id)
    assert str(wanted.id) in await due(web)


UNDER_WAY = [state for state in STEPS if state not in ENDINGS]


@pytest.mark.parametrize("state", UNDER_WAY)
@pytest.mark.parametrize("ending", sorted(ENDINGS))
async def test_every_ending_of_every_state_is_shown_and_final_and_has_its_steps(
    web: Ledger, state: State, ending: State
) -> None:
    wanted = await web.want(tag="0001")
    await web.claim()
    await web.store.enter(wanted.id, state, "b")
    await show(web)
    await web.store.finish(wanted.id, ending)
    found = await card(web, wanted)
    assert found.is_final
    assert found.wanted > found.shown
    steps = await web.store.card(CardKind.STEPS, str(wanted.id))
    assert steps.is_final


async def test_every_step_is_shown(web: Ledger) -> None:
    wanted = await web.want(tag="0001")
    await web.claim()
    for state in (State.PULLING, State.STARTING, State.CHECKING, State.SWITCHING, State.DRAINING, State.WATCHING):
        await show(web)
        await web.store.enter(wanted.id, state)
        assert await due(web) == [str(wanted.id)], state


async def test_what_a_step_found_out_is_shown(web: Ledger) -> None:
    wanted = await web.want()
    await web.claim()
    await web.store.enter(wanted.id, State.PULLING)
    await show(web)
    await web.store.leave(wanted.id, {"bytes": 7})
    assert await due(web) == []
    await web.store.leave(wanted.id, {"tag": "0001", "digest": digest(1)})
    assert await due(web) == [str(wanted.id)]


async def test_going_back_to_the_queue_is_shown_and_makes_no_second_steps(web: Ledger) -> None:
    wanted = await web.want(tag="0001")
    await web.claim()
    await show(web)
    await web.store.requeue(wanted.id)
    assert await due(web) == [str(wanted.id)]
    assert not (await card(web, wanted)).is_final
    await web.claim()
    await web.store.finish(wanted.id, State.FAILED)
    assert (await web.store.card(CardKind.STEPS, str(wanted.id))).wanted == 1


async def test_what_never_began_has_no_steps(web: Ledger) -> None:
    wanted = await web.want(tag="0001")
    await web.store.cancel_pending(wanted.id, "not now")
    assert [one.kind for one in await web.store.due_cards()] == [CardKind.DEPLOYMENT]


async def test_what_is_not_committed_is_not_shown(web: Ledger) -> None:
    """The control is the same change with a commit."""
    wanted = await web.want(tag="0001")
    await show(web)
    end = "UPDATE deployments SET state = 'failed', started_at = '2026-01-01' WHERE id = ?"

    def fail(db: Database) -> None:
        db.execute(end, [wanted.id])
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await web.store.write(fail)
    assert await web.store.due_cards() == ()
    await web.store.write(lambda db: db.execute(end, [wanted.id]))
    assert {one.kind for one in await web.store.due_cards()} == {CardKind.DEPLOYMENT, CardKind.STEPS}


async def test_a_wish_that_is_refused_has_no_card(web: Ledger, store: Store) -> None:
    await web.lock()
    with pytest.raises(Exception, match="locked"):
        await web.want(tag="0001")
    assert await store.due_cards() == ()


# Buttons that come and go by what happens to others


async def test_a_replaced_release_is_shown_anew(web: Ledger) -> None:
    old = await web.release("0001")
    await show(web)
    await web.switch("0002")
    assert str(old.id) in await due(web)


async def test_the_release_that_o8_returns_to_is_shown_anew(web: Ledger) -> None:
    old, new = await web.release("0001"), await web.switch("0002")
    await show(web)
    await web.store.finish(new.id, State.ROLLED_BACK, error="It died.")
    assert await due(web) == [str(old.id), str(new.id)]


@pytest.mark.parametrize("ending", [State.FAILED, State.SUCCEEDED])
async def test_an_older_failure_is_shown_anew_for_its_button_to_try_again_goes(web: Ledger, ending: State) -> None:
    old = await web.want(tag="0001")
    await web.claim()
    await web.store.finish(old.id, ending)
    await show(web)
    new = await web.want(tag="0002")
    assert await due(web) == [str(old.id), str(new.id)][ending is State.SUCCEEDED :]


async def test_what_was_held_is_shown_anew_once_something_newer_is_wanted(web: Ledger) -> None:
    await web.hold()
    old = await web.push("0001")
    await show(web)
    new = await web.want(tag="0002")
    assert await due(web) == [str(old.id), str(new.id)]


async def test_a_lifted_hold_is_shown_wherever_it_could_be_lifted(web: Ledger) -> None:
    live, bad = await web.release("0001"), await web.switch("0002")
    await web.store.finish(bad.id, State.ROLLED_BACK, error="It died.")
    held = await web.push("0003")
    await show(web)
    await web.store.set_hold("web", None)
    assert await due(web) == [str(live.id), str(bad.id), str(held.id)]


async def test_a_removed_service_leaves_no_buttons(web: Ledger) -> None:
    live = await web.release("0001")
    failed = await web.want(tag="0002")
    await web.claim()
    await web.store.finish(failed.id, State.FAILED)
    await show(web)
    await web.store.forget_service("web")
    assert await due(web) == [str(live.id), str(failed.id)]


async def test_another_service_changes_nothing_here(web: Ledger) -> None:
    await web.release("0001")
    await web.service("api")
    await show(web)
    await web.release("0001", service="api")
    await web.hold("api")
    await web.store.set_hold("api", None)
    await web.store.forget_service("api")
    services = {(await web.store.deployment(int(subject))).service for subject in await due(web)}
    assert services == {"api"}


async def test_a_card_that_was_never_posted_stays_away_when_only_its_buttons_change(web: Ledger) -> None:
    await web.release("0001")
    for one in await web.store.due_cards():
        await web.store.card_dropped(one.id, one.wanted)
    for one in await web.store.due_cards():  # its steps
        await web.store.card_dropped(one.id, one.wanted)
    new = await web.switch("0002")
    assert await due(web) == [str(new.id)]


# What the outbox says to the store


async def test_what_changed_while_a_card_was_sent_is_still_due(web: Ledger) -> None:
    wanted = await web.want(tag="0001")
    sent = await card(web, wanted)
    await web.claim()
    await web.store.card_shown(sent.id, sent.wanted, "C1", "1.1")
    assert await due(web) == [str(wanted.id)]


async def test_steps_are_due_once_their_card_is_posted_or_will_not_be(web: Ledger) -> None:
    first, second = await web.release("0001"), await web.release("0002")

    async def steps_due() -> list[str]:
        return [one.subject for one in await web.store.due_cards() if one.kind is CardKind.STEPS]

    assert await steps_due() == []
    told, untold = await card(web, first), await card(web, second)
    await web.store.card_shown(told.id, told.wanted, "C1", "1.1")
    assert await steps_due() == [str(first.id)]
    await web.store.card_dropped(untold.id, untold.wanted)
    assert await steps_due() == [str(first.id), str(second.id)]


async def test_cards_that_may_be_shown_come_before_those_that_wait(web: Ledger) -> None:
    ids = [(await web.want(tag=f"000{number}")).id for number in range(3)]
    first = await card(web, await web.store.deployment(ids[0]))
    await web.store.postpone_card(first.id, datetime.now(UTC) + timedelta(hours=1))
    assert await due(web) == [str(ids[1]), str(ids[2]), str(ids[0])]
    assert len(await web.store.due_cards(limit=2)) == 2


async def test_a_post_without_an_answer_is_remembered_until_the_answer_is_known(web: Ledger) -> None:
    wanted = await web.want(tag="0001")
    one = await card(web, wanted)
    await web.store.begin_post(one.id, "#deployments")
    await web.store.card_failed(one.id, datetime.now(UTC))
    assert (await card(web, wanted)).attempted_at
    await web.store.post_refused(one.id)
    assert (await card(web, wanted)).attempted_at is None
    await web.store.begin_post(one.id, "#deployments")
    await web.store.card_shown(one.id, one.wanted, "C1", "1.1")
    found = await card(web, wanted)
    assert (found.attempted_at, found.failures, found.ts) == (None, 0, "1.1")


async def test_the_end_of_a_mute_lets_out_what_it_kept_back_but_tries_no_failure_sooner(web: Ledger) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    kept, failing = await web.want(tag="0001"), await web.want(tag="0002")
    await web.store.mute("web", later)
    await web.store.postpone_card((await card(web, kept)).id, later)
    await web.store.card_failed((await card(web, failing)).id, later)
    await web.store.mute("web", None)
    assert (await card(web, kept)).not_before is None
    assert (await card(web, failing)).not_before is not None
    assert (await web.store.channel_of("web")).muted_until is None


async def test_old_cards_are_dropped_but_those_in_a_channel_follow_what_is_true(web: Ledger) -> None:
    shown = await web.want(tag="0001")
    await show(web)
    await web.claim()
    await web.service("api")
    await web.want("api", tag="0001")
    await web.store.drop_old_cards()
    assert await due(web) == [str(shown.id)]


async def test_a_channel_and_a_mute_of_a_service_do_not_touch_each_other(web: Ledger) -> None:
    until = datetime.now(UTC) + timedelta(hours=1)
    await web.store.set_channel("web", "#team-web")
    await web.store.mute("web", until)
    await web.store.set_channel("web", "#team-api")
    found = await web.store.channel_of("web")
    assert found.channel == "#team-api"
    assert found.muted_until
    assert abs(found.muted_until - until) < timedelta(milliseconds=2)
    assert (await web.store.channel_of("api")).channel == ""


async def test_a_card_is_found_by_its_message(web: Ledger) -> None:
    wanted = await web.want(tag="0001")
    await show(web)
    one = await card(web, wanted)
    assert await web.store.card_at(one.channel, one.ts) == one
    assert await web.store.card_at("C2", one.ts) is None


async def test_only_the_first_push_of_an_image_asks_whether_to_install_it(ledger: Ledger) -> None:
    for number in (1, 2):
        await ledger.store.write(partial(packages.seen, image="ghcr.io/acme/new", tag="0001", digest=digest(number)))
    one = await ledger.store.card(CardKind.PACKAGE, "ghcr.io/acme/new")
    assert (one.wanted, one.is_final) == (1, False)
    await ledger.store.dismiss_package("ghcr.io/acme/new")
    one = await ledger.store.card(CardKind.PACKAGE, "ghcr.io/acme/new")
    assert (one.wanted, one.is_final) == (2, True)


async def test_rollbacks_have_cards_as_every_deployment_has(web: Ledger) -> None:
    first, live = await web.release("0001"), await web.release("0002")
    await show(web)
    back = await web.want(kind=Kind.ROLLBACK, target=first.id)
    assert await due(web) == [str(back.id)]
    await web.claim()
    await web.store.enter(back.id, State.SWITCHING, "a")
    await web.store.leave(back.id, {}, has_switched=True)
    assert await due(web) == [str(live.id), str(back.id)]
