"""What is wanted, what waits, and what is begun: newest wins, one at a time per service."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from bot.errors import Conflict, NotFound
from bot.models import Kind, State
from bot.store import Store
from tests.store.ledger import Ledger, configuration, digest


async def test_the_newest_wish_wins(ledger: Ledger) -> None:
    await ledger.service()
    for tag in ("0001", "0002", "0003"):
        await ledger.push(tag)
    assert await ledger.states() == [State.SUPERSEDED, State.SUPERSEDED, State.QUEUED]
    assert (await ledger.claim()).tag == "0003"
    superseded = (await ledger.store.deployments("web"))[-1]
    assert superseded.finished_at is not None


async def test_services_do_not_supersede_each_other(ledger: Ledger) -> None:
    await ledger.service("web")
    await ledger.service("api")
    await ledger.push("0001", "web")
    await ledger.push("0009", "api")
    assert (await ledger.claim("web")).tag == "0001"
    assert (await ledger.claim("api")).tag == "0009"


@pytest.mark.parametrize("kind", [Kind.RESTART, Kind.CONFIGURE, Kind.START, Kind.DEPLOY])
async def test_a_wish_without_an_image_brings_the_tag_that_was_waiting(ledger: Ledger, kind: Kind) -> None:
    await ledger.service()
    await ledger.push("0005", digest=digest(5), commit="abc")
    wanted = await ledger.want(kind=kind)
    assert (wanted.tag, wanted.digest, wanted.commit) == ("0005", digest(5), "abc")


async def test_a_wish_with_an_image_of_its_own_keeps_it(ledger: Ledger) -> None:
    await ledger.service()
    await ledger.push("0005", digest=digest(5))
    assert (await ledger.want(tag="0004")).tag == "0004"


async def test_a_rollback_neither_takes_nor_gives_a_tag(ledger: Ledger) -> None:
    await ledger.service()
    first, _ = await ledger.release("0001"), await ledger.release("0002")
    await ledger.push("0003")
    rollback = await ledger.want(kind=Kind.ROLLBACK, target=first.id)
    assert (rollback.tag, rollback.digest) == ("0001", first.digest)
    restart = await ledger.want(kind=Kind.RESTART)
    assert restart.tag == ""


async def test_a_rollback_brings_configuration_and_environment_of_its_release_and_sets_a_hold(ledger: Ledger) -> None:
    await ledger.service(replicas=1)
    await ledger.store.add_environment("web", 0, lambda: b"one", ["A"], "cli:ann")
    first = await ledger.release("0001")
    await ledger.service(replicas=3)
    await ledger.store.add_environment("web", 1, lambda: b"two", ["A"], "cli:ann")
    await ledger.release("0002")
    await ledger.want(kind=Kind.ROLLBACK, target=first.id)
    claimed = await ledger.claim()
    assert (claimed.configuration.replicas, claimed.environment_revision) == (1, 1)
    hold = (await ledger.store.service("web")).hold
    assert hold and hold.reason == "rollback to 0001"


async def test_what_is_begun_takes_the_configuration_of_that_moment(ledger: Ledger) -> None:
    await ledger.service(replicas=1)
    await ledger.push("0001")
    await ledger.service(replicas=2, image="ghcr.io/acme/web-next")
    await ledger.store.add_environment("web", 0, lambda: b"sealed", ["A"], "cli:ann")
    claimed = await ledger.claim()
    assert (claimed.configuration.replicas, claimed.environment_revision) == (2, 1)
    assert claimed.image == "ghcr.io/acme/web-next"


async def test_a_running_deployment_is_not_superseded(ledger: Ledger) -> None:
    await ledger.service()
    await ledger.push("0001")
    await ledger.claim()
    await ledger.push("0002")
    assert await ledger.states() == [State.RESOLVING, State.QUEUED]


@pytest.mark.parametrize("kept_back_by", ["hold", "lock", "stop"])
@pytest.mark.parametrize("when", ["before it is wanted", "while it is queued"])
async def test_automatic_deployments_are_held(ledger: Ledger, kept_back_by: str, when: str) -> None:
    await ledger.service()

    async def keep_back() -> None:
        if kept_back_by == "stop":
            await ledger.store.set_stopped("web", True)
        else:
            await getattr(ledger, kept_back_by)()

    if when == "before it is wanted":
        await keep_back()
        await ledger.push("0001")
    else:
        await ledger.push("0001")
        await keep_back()
    assert await ledger.store.claim("web") is None
    (held,) = await ledger.store.deployments("web")
    assert held.state is State.HELD and held.finished_at
    assert held.error and "`o8 " in held.next_step


async def test_a_held_one_supersedes_nothing(ledger: Ledger) -> None:
    await ledger.service()
    await ledger.want(tag="0001")
    await ledger.hold()
    await ledger.push("0002")
    assert await ledger.states() == [State.QUEUED, State.HELD]


async def test_people_deploy_during_a_hold_but_not_under_a_lock(ledger: Ledger) -> None:
    await ledger.service()
    await ledger.hold()
    assert (await ledger.want(tag="0001")).state is State.QUEUED
    await ledger.lock()
    with pytest.raises(Conflict, match=r"web is locked by cli:ann until .* UTC: release day\. `o8 unlock web`"):
        await ledger.want(tag="0002")
    assert (await ledger.want(kind=Kind.RESTART, is_repair=True)).state is State.QUEUED


async def test_nothing_that_waits_is_approved_under_a_lock(ledger: Ledger) -> None:
    await ledger.service()
    waiting = await ledger.push("0001", needs_approval=True)
    await ledger.lock()
    with pytest.raises(Conflict, match="is locked"):
        await ledger.store.approve(waiting.id, "cli:ada")
    await ledger.store.set_lock("web", None)
    assert (await ledger.store.approve(waiting.id, "cli:ada")).state is State.QUEUED


async def test_a_lock_that_is_over_keeps_nothing_back(ledger: Ledger) -> None:
    await ledger.service()
    await ledger.lock(for_=timedelta(milliseconds=-1))
    assert (await ledger.push("0001")).state is State.QUEUED
    assert (await ledger.want(tag="0002")).state is State.QUEUED


async def test_a_waiting_one_runs_only_after_approval_and_once(ledger: Ledger) -> None:
    await ledger.service()
    waiting = await ledger.push("0001", needs_approval=True)
    assert waiting.state is State.WAITING
    assert await ledger.store.claim("web") is None
    assert await ledger.store.unfinished() == ()
    await ledger.store.approve(waiting.id, "cli:ada")
    with pytest.raises(Conflict, match="does not wait"):
        await ledger.store.approve(waiting.id, "cli:ada")
    assert (await ledger.claim()).id == waiting.id


async def test_what_has_not_begun_can_be_cancelled_and_nothing_else(ledger: Ledger) -> None:
    await ledger.service()
    queued = await ledger.want(tag="0001")
    assert await ledger.store.cancel_pending(queued.id, "Cancelled by ann.")
    cancelled = await ledger.store.deployment(queued.id)
    assert (cancelled.state, cancelled.error) == (State.CANCELLED, "Cancelled by ann.")
    assert not await ledger.store.cancel_pending(queued.id, "again")
    await ledger.want(tag="0002")
    running = await ledger.claim()
    assert not await ledger.store.cancel_pending(running.id, "too late")


async def test_what_waited_too_long_for_a_place_fails_and_what_waits_for_a_person_stays(ledger: Ledger) -> None:
    await ledger.service("web")
    await ledger.service("api")
    await ledger.push("0001", "web")
    await ledger.push("0001", "api", needs_approval=True)
    for service in ("web", "api"):
        await ledger.store.expire_queued(service, "Waited 30 minutes for a place.")
    failed = (await ledger.store.deployments("web"))[0]
    assert (failed.state, failed.error_code) == (State.FAILED, "queue")
    assert await ledger.states("api") == [State.WAITING]


async def test_a_requeued_one_keeps_its_attempts_and_first_start(ledger: Ledger) -> None:
    await ledger.service()
    await ledger.push("0001")
    first = await ledger.claim()
    await ledger.store.enter(first.id, State.STARTING, "b")
    await ledger.store.requeue(first.id)
    again = await ledger.claim()
    assert (again.id, again.attempts, again.slot, again.started_at) == (first.id, 2, None, first.started_at)
    assert all(step.ended_at for step in again.steps)


@pytest.mark.parametrize("needs_approval", [False, True])
async def test_a_requeued_one_gives_way_to_a_newer_one(ledger: Ledger, needs_approval: bool) -> None:
    await ledger.service()
    await ledger.push("0001")
    first = await ledger.claim()
    await ledger.push("0002", needs_approval=needs_approval)
    await ledger.store.requeue(first.id)
    assert await ledger.states() == [State.SUPERSEDED, State.WAITING if needs_approval else State.QUEUED]
    assert (await ledger.store.deployment(first.id)).finished_at


@pytest.mark.parametrize("values", [{"service": "wbe"}, {"service": "web", "target": 99}])
async def test_unknown_names_are_refused_with_a_hint(ledger: Ledger, values: dict[str, Any]) -> None:
    await ledger.service()
    with pytest.raises(NotFound) as refused:
        await ledger.want(**values)
    assert "Did you mean web?" in str(refused.value) or "`o8 deployments` lists them." in str(refused.value)


async def test_address_blocks_are_given_once_and_again_after_removal(store: Store) -> None:
    for name in ("a", "b"):
        assert await store.apply(configuration(name), last_block=2)
    assert [(s.name, s.block) for s in await store.services()] == [("a", 1), ("b", 2)]
    with pytest.raises(Conflict, match="O8_SUBNET has room for 2 services"):
        await store.apply(configuration("c"), last_block=2)
    await store.forget_service("a")
    assert await store.apply(configuration("c"), last_block=2)
    assert (await store.service("c")).block == 1


@pytest.mark.parametrize(
    "claim", [{"domains": ("shop.example.org",)}, {"host_port": "127.0.0.1:9000"}, {"host_port": "9000"}]
)
async def test_domains_and_host_ports_belong_to_one_service(store: Store, claim: dict[str, Any]) -> None:
    owner = configuration("a", domains=("shop.example.org",), host_port="9000")
    await store.apply(owner, last_block=9)
    await store.apply(owner, last_block=9)  # its own are no conflict
    with pytest.raises(Conflict, match="already belongs to a"):
        await store.apply(configuration("b", **claim), last_block=9)


async def test_services_are_found_by_image(ledger: Ledger) -> None:
    for name in ("web", "worker"):
        await ledger.service(name, image="ghcr.io/acme/web")
    await ledger.service("api")
    assert [s.name for s in await ledger.store.services_of_image("ghcr.io/acme/web")] == ["web", "worker"]
