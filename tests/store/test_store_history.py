"""What happened: steps, endings, releases to return to, images to keep, revisions of the environment."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bot.errors import Conflict, NotFound
from bot.models import Kind, State
from tests.store.ledger import IMAGE, Ledger, digest

WEEK = timedelta(days=7)


async def test_steps_are_written_with_their_times_and_findings(ledger: Ledger) -> None:
    await ledger.service()
    await ledger.want(tag="0001")
    id = (await ledger.claim()).id
    await ledger.store.enter(id, State.RESOLVING)
    open_ = await ledger.store.deployment(id)
    assert open_.state is State.RESOLVING and open_.steps[0].ended_at is None
    await ledger.store.leave(id, {"tag": "0001", "digest": digest(1), "bytes": 7})
    await ledger.store.enter(id, State.STARTING, "b")
    found = await ledger.store.deployment(id)
    assert (found.tag, found.digest, found.slot, found.state) == ("0001", digest(1), "b", State.STARTING)
    assert found.steps[0].ended_at and found.steps[0].detail["bytes"] == 7
    await ledger.store.enter(id, State.CHECKING)
    assert (await ledger.store.deployment(id)).slot == "b"  # kept while not named


async def test_from_the_switch_on_it_is_live_and_the_service_no_longer_stopped(ledger: Ledger) -> None:
    await ledger.service()
    await ledger.store.set_stopped("web", True)
    switched = await ledger.switch("0001")
    service = await ledger.store.service("web")
    assert (service.live, service.is_stopped) == (switched.id, False)
    assert switched.switched_at
    await ledger.store.switched(switched.id)
    assert (await ledger.store.deployment(switched.id)).switched_at == switched.switched_at


async def test_a_rolled_back_one_gives_live_back_and_sets_a_hold(ledger: Ledger) -> None:
    await ledger.service()
    first = await ledger.release("0001")
    second = await ledger.switch("0002")
    assert second.previous == first.id
    ended = await ledger.store.finish(second.id, State.ROLLED_BACK, error="It exited.", log="boom", exit_code=3)
    service = await ledger.store.service("web")
    assert service.live == first.id
    assert service.hold and service.hold.actor == "o8" and "0002 was returned by itself" in service.hold.reason
    assert (ended.log, ended.exit_code) == ("boom", 3)


async def test_an_ending_is_final(ledger: Ledger) -> None:
    await ledger.service()
    release = await ledger.release("0001")
    with pytest.raises(Conflict, match="has already ended as succeeded"):
        await ledger.store.finish(release.id, State.FAILED)
    assert (await ledger.store.deployment(release.id)).state is State.SUCCEEDED


async def test_finishing_ends_the_open_step(ledger: Ledger) -> None:
    await ledger.service()
    await ledger.want(tag="0001")
    id = (await ledger.claim()).id
    await ledger.store.enter(id, State.PULLING)
    ended = await ledger.store.finish(id, State.FAILED, error_code="pull_failed", error="No.", next_step="Try.")
    assert ended.steps[0].ended_at and ended.finished_at
    assert (ended.error_code, ended.error, ended.next_step) == ("pull_failed", "No.", "Try.")


async def test_releases_are_distinct_and_newest_first(ledger: Ledger) -> None:
    await ledger.service()
    await ledger.release("0001", 1)
    await ledger.release("0002", 2)
    again = await ledger.release("0001", 1)  # the same thing once more
    await ledger.want(tag="0003")
    await ledger.store.finish((await ledger.claim()).id, State.FAILED)
    assert [(r.tag, r.id) for r in await ledger.store.releases("web")] == [("0001", again.id), ("0002", 2)]


async def test_another_configuration_or_environment_makes_another_release(ledger: Ledger) -> None:
    await ledger.service()
    await ledger.release("0001", 1)
    await ledger.service(replicas=2)
    await ledger.release("0001", 1)
    await ledger.store.add_environment("web", 0, lambda: b"sealed", ["A"], "cli:ann")
    await ledger.release("0001", 1)
    await ledger.service(replicas=2, keep_releases=9)  # needs no deployment, so it makes no other release
    await ledger.release("0001", 1)
    assert len(await ledger.store.releases("web")) == 3


async def test_a_rollback_is_no_release_of_its_own(ledger: Ledger) -> None:
    await ledger.service()
    first = await ledger.release("0001", 1)
    await ledger.release("0002", 2)
    await ledger.release("", 1, kind=Kind.ROLLBACK, target=first.id)
    assert [r.tag for r in await ledger.store.releases("web")] == ["0002", "0001"]


async def test_a_service_made_anew_has_no_releases_of_its_namesake(ledger: Ledger) -> None:
    await ledger.service()
    await ledger.release("0001")
    await ledger.store.forget_service("web")
    assert len(await ledger.store.deployments("web")) == 1
    await ledger.service()
    assert await ledger.store.releases("web") == ()
    assert (await ledger.store.service("web")).live is None


async def test_attempts_that_failed_are_remembered_until_they_succeed(ledger: Ledger) -> None:
    await ledger.service()
    for ending in (State.FAILED, State.SUCCEEDED, State.FAILED):
        await ledger.want(tag="0001")
        claimed = await ledger.claim()
        await ledger.store.leave(claimed.id, {"digest": digest(1)})
        await ledger.store.finish(claimed.id, ending)
        failed = await ledger.store.failed_attempts("web")
        assert failed == (frozenset() if ending is State.SUCCEEDED else {("0001", digest(1))})


async def test_only_images_that_no_release_needs_are_spare(ledger: Ledger) -> None:
    await ledger.service(keep_releases=2)
    for number in (1, 2, 3):
        await ledger.store.pulled(IMAGE, digest(number), "web")
        await ledger.release(f"000{number}", number)
    assert await ledger.store.spare_images("web", WEEK) == ((IMAGE, digest(1)),)
    await ledger.store.forget_image(IMAGE, digest(1))
    assert await ledger.store.spare_images("web", WEEK) == ()


async def test_images_that_o8_did_not_pull_are_never_spare(ledger: Ledger) -> None:
    await ledger.service(keep_releases=1)
    for number in (1, 2, 3):
        await ledger.release(f"000{number}", number)
    assert await ledger.store.spare_images("web", WEEK) == ()


async def test_the_image_of_an_open_or_live_deployment_is_kept(ledger: Ledger) -> None:
    await ledger.service(keep_releases=1)
    for number in (1, 2):
        await ledger.store.pulled(IMAGE, digest(number), "web")
        await ledger.release(f"000{number}", number)
    await ledger.want(tag="0001", digest=digest(1))
    assert await ledger.store.spare_images("web", WEEK) == ()


async def test_an_image_that_another_service_may_return_to_is_kept(ledger: Ledger) -> None:
    """The other service found it on the disk, so only the first one pulled it."""
    await ledger.service("web", keep_releases=1)
    await ledger.service("worker", image=IMAGE)
    for number in (1, 2, 3):
        await ledger.store.pulled(IMAGE, digest(number), "web")
        await ledger.release(f"000{number}", number, "web")
        await ledger.release(f"000{number}", number, "worker")
    assert await ledger.store.spare_images("web", WEEK) == ()
    await ledger.store.forget_service("worker")
    assert await ledger.store.spare_images("web", WEEK) == ((IMAGE, digest(1)),)


async def test_images_of_all_services_are_spare_once_nothing_needs_them(ledger: Ledger) -> None:
    """Of a service that was removed; of an attempt that failed; one that the newest release of another service uses."""
    for name in ("web", "worker", "gone"):
        await ledger.service(name, image=IMAGE, keep_releases=1)
    for number, service in ((1, "gone"), (2, "web"), (3, "worker")):
        await ledger.store.pulled(IMAGE, digest(number), service)
        await ledger.release(f"000{number}", number, service)
    await ledger.store.pulled(IMAGE, digest(4), "web")
    assert await ledger.store.spare_images(None, WEEK) == ((IMAGE, digest(4)),)
    await ledger.store.forget_service("gone")
    assert set(await ledger.store.spare_images(None, WEEK)) == {(IMAGE, digest(1)), (IMAGE, digest(4))}
    assert await ledger.store.is_spare(IMAGE, digest(1), WEEK)
    assert not await ledger.store.is_spare(IMAGE, digest(2), WEEK)


async def test_the_release_before_the_live_one_is_kept_whatever_keep_releases_says(ledger: Ledger) -> None:
    await ledger.service(keep_releases=1)
    for number in (1, 2, 3):
        await ledger.store.pulled(IMAGE, digest(number), "web")
        await ledger.release(f"000{number}", number)
    assert await ledger.store.spare_images(None, WEEK) == ((IMAGE, digest(1)),)


async def test_the_target_of_a_rollback_that_waits_is_kept(ledger: Ledger) -> None:
    await ledger.service(keep_releases=1)
    releases = []
    for number in (1, 2, 3):
        await ledger.store.pulled(IMAGE, digest(number), "web")
        releases.append(await ledger.release(f"000{number}", number))
    assert await ledger.store.spare_images(None, WEEK) == ((IMAGE, digest(1)),)
    await ledger.want(kind=Kind.ROLLBACK, target=releases[0].id)
    assert await ledger.store.spare_images(None, WEEK) == ()


async def test_what_was_pulled_by_hand_is_spare_after_a_time(ledger: Ledger) -> None:
    await ledger.store.pulled(IMAGE, digest(1), "")
    assert await ledger.store.spare_images(None, WEEK) == ()
    assert await ledger.store.spare_images(None, timedelta()) == ((IMAGE, digest(1)),)
    await ledger.service()
    await ledger.store.pulled(IMAGE, digest(1), "web")
    assert await ledger.store.spare_images("web", WEEK) == ()  # somebody wants it for something


async def test_a_second_pull_by_hand_begins_the_time_anew(ledger: Ledger) -> None:
    await ledger.store.pulled(IMAGE, digest(1), "")
    long_ago = "UPDATE images SET pulled_at = '2020-01-01T00:00:00.000+00:00'"
    await ledger.store.write(lambda db: db.execute(long_ago))
    assert await ledger.store.spare_images(None, WEEK) == ((IMAGE, digest(1)),)
    await ledger.store.pulled(IMAGE, digest(1), "", is_new=False)
    assert await ledger.store.spare_images(None, WEEK) == ()


async def test_an_image_that_was_here_before_o8_asked_for_it_is_not_o8s(ledger: Ledger) -> None:
    await ledger.store.pulled(IMAGE, digest(1), "", is_new=False)
    assert await ledger.store.spare_images(None, timedelta()) == ()


async def test_the_environment_grows_by_revisions_and_refuses_a_lost_update(ledger: Ledger) -> None:
    await ledger.service()
    assert await ledger.store.environment("web", 0) == b""
    assert await ledger.store.add_environment("web", 0, lambda: b"one", ["A"], "cli:ann") == 1
    with pytest.raises(Conflict, match="changed meanwhile"):
        await ledger.store.add_environment("web", 0, lambda: b"mine", ["B"], "cli:bob")
    assert await ledger.store.add_environment("web", 1, lambda: b"two", ["A", "B"], "cli:bob") == 2
    assert [await ledger.store.environment("web", n) for n in (1, 2)] == [b"one", b"two"]
    assert (await ledger.store.service("web")).environment_revision == 2
    revisions = await ledger.store.environment_revisions("web")
    assert [(r.revision, r.names, r.actor) for r in revisions] == [(2, ("A", "B"), "cli:bob"), (1, ("A",), "cli:ann")]


async def test_deployments_are_listed_newest_first_page_by_page(ledger: Ledger) -> None:
    await ledger.service("web")
    await ledger.service("api")
    for number in range(1, 6):
        await ledger.release(f"000{number}", number, "web" if number % 2 else "api")
    assert [d.tag for d in await ledger.store.deployments(limit=2)] == ["0005", "0004"]
    assert [d.tag for d in await ledger.store.deployments(limit=2, before=4)] == ["0003", "0002"]
    assert [d.tag for d in await ledger.store.deployments("api")] == ["0004", "0002"]


async def test_what_a_start_has_to_take_care_of_is_listed_oldest_first(ledger: Ledger) -> None:
    for name in ("api", "web", "worker"):
        await ledger.service(name)
    await ledger.push("0001", "web")
    await ledger.push("0001", "api")
    await ledger.push("0001", "worker", needs_approval=True)
    running = await ledger.claim("web")
    assert [d.id for d in await ledger.store.unfinished()] == [running.id, running.id + 1]


async def test_unknown_deployments_and_services_are_refused_by_name(ledger: Ledger) -> None:
    with pytest.raises(NotFound, match="There is no deployment 7"):
        await ledger.store.deployment(7)
    with pytest.raises(NotFound, match=r"`o8 service apply FILE\.toml` makes the first one"):
        await ledger.store.service("web")
