"""`GET /services` as the original's front end reads it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.models import Kind, Wanted
from bot.observer import Observer
from bot.permissions import GLOBAL, GLOBAL_ONLY, Action
from bot.store.packages import seen
from bot.webhooks import PackageEvent
from handlers.orchestr8 import listing, states
from lab.waiting import until
from tests.handlers.fronting import IMAGE, NAME, SCOPE, Fronted, fronted

pytestmark = pytest.mark.slow

A = Action
KEYS = {
    "id": str, "name": str, "names": list, "image": str, "state": str, "status": str, "config": dict,
    "latestImageDigest": str, "latestImageTags": list, "currentImageDigest": str, "_permissions": dict,
}  # fmt: skip
CONFIG_KEYS = {
    "hostPort", "containerPort", "domain", "memoryLimit", "cpuLimit", "clientMaxBodySize", "restartPolicy", "image",
}  # fmt: skip
PERMISSIONS = {
    "manage": A.MANAGE, "view_config": A.VIEW_CONFIGURATION, "edit_config": A.EDIT_CONFIGURATION,
    "view_env": A.VIEW_ENV, "edit_env": A.EDIT_ENV, "view_logs": A.VIEW_LOGS,
}  # fmt: skip


@pytest.fixture
async def it(tmp_path: Path) -> AsyncIterator[Fronted]:
    async with fronted(tmp_path) as it:
        yield it


def has_the_shape(row: dict[str, Any]) -> bool:
    assert {key: type(value) for key, value in row.items()} == KEYS
    assert set(row["config"]) == CONFIG_KEYS and set(row["_permissions"]) == set(PERMISSIONS)
    assert all(isinstance(value, str) for value in row["config"].values())
    assert all(isinstance(value, bool) for value in row["_permissions"].values())
    assert row["names"] == [f"/{row['name']}"]
    return True


async def pushed(it: Fronted, image: str, tag: str = "0001") -> None:
    """GitHub said that `image` was pushed; no service uses it."""
    await it.house.services.store.write(lambda db: seen(db, image, tag, "sha256:" + "e" * 64))


# -- one row


async def test_a_service_that_runs(it: Fronted) -> None:
    live = await it.deployed(domains=["shop.example.org", "www.example.org"], host_port="127.0.0.1:8081")
    (row,) = await it.root.services()
    assert has_the_shape(row)
    assert row == row | {
        "id": f"{NAME}-{live.slot}", "name": NAME, "image": f"{IMAGE}:0001", "state": "running",
        "latestImageDigest": live.digest, "currentImageDigest": live.digest, "latestImageTags": ["0001"],
    }  # fmt: skip
    assert len(row["id"]) == 12
    assert re.fullmatch(r"Up (Less than a second|1 second|\d+ seconds)", row["status"])
    assert row["config"] == {
        "hostPort": "127.0.0.1:8081", "containerPort": str(it.house.port), "domain": "shop.example.org",
        "memoryLimit": "512m", "cpuLimit": "1", "clientMaxBodySize": "10m", "restartPolicy": "unless-stopped",
        "image": IMAGE,
    }  # fmt: skip
    assert set(row["_permissions"].values()) == {True}


async def test_a_service_that_never_ran_and_one_that_is_stopped(it: Fronted) -> None:
    await it.add("new")
    await it.deployed()
    assert (await it.root.stop(NAME)).status == 200
    rows = {row["name"]: row for row in await it.root.services()}
    assert all(has_the_shape(row) for row in rows.values())
    new, stopped = rows["new"], rows[NAME]
    assert (new["state"], new["status"], new["currentImageDigest"]) == ("created", "Created", "")
    assert len(new["id"]) == 12
    assert (stopped["state"], stopped["status"]) == ("exited", "Exited (0)"), "at once, not when Docker tells of it"


@pytest.mark.parametrize(("changes", "state", "status"), [
    ({"health": "healthy"}, "running", r"Up \d+ seconds? \(healthy\)|Up Less than a second \(healthy\)"),
    ({"health": "starting"}, "running", r"Up .* \(health: starting\)"),
    ({"health": "unhealthy", "started_at": -7300}, "running", r"Up 2 hours \(unhealthy\)"),
    ({"state": "paused", "started_at": -65}, "paused", r"Up About a minute \(Paused\)"),
    ({"state": "restarting", "exit_code": 3}, "restarting", r"Restarting \(3\)"),
    ({"state": "exited", "exit_code": 137}, "exited", r"Exited \(137\)"),
    ({"state": "dead"}, "dead", "Dead"),
    ({"state": "created"}, "created", "Created"),
    ({"state": "removing"}, "removing", "Removal In Progress"),
    ({"started_at": None}, "running", "Up"),
])  # fmt: skip
async def test_the_state_is_what_docker_says_in_dockers_words(
    it: Fronted, changes: dict[str, Any], state: str, status: str
) -> None:
    live = await it.deployed()
    if isinstance(changes.get("started_at"), int):
        changes["started_at"] = datetime.now(UTC) + timedelta(seconds=changes["started_at"])
    replicas = it.house.engine.replicas
    replicas[NAME, live.slot or "a"] = [r.model_copy(update=changes) for r in replicas[NAME, live.slot or "a"]]
    it.house.engine.tell(NAME, "health_status")
    row = await it.root.shows(NAME, lambda row: bool(row) and bool(re.fullmatch(status, row["status"])))
    assert row["state"] == state


async def test_a_container_that_somebody_has_removed_is_not_called_running(it: Fronted) -> None:
    await it.deployed()
    it.house.engine.replicas.clear()
    it.house.engine.tell(NAME, "destroy")
    row = await it.root.shows(NAME, lambda row: row.get("state") == "exited")
    assert (row["status"], len(row["id"])) == ("No container", 12)


async def test_until_docker_has_answered_nothing_is_called_running(it: Fronted) -> None:
    await it.deployed()
    (found,) = await it.house.services.store.overview()
    person = await it.house.services.authority.who("user:root")
    row = listing.installed(found, Observer(it.house.engine), None, person)
    assert has_the_shape(row) and row["state"] == "unknown"


@pytest.mark.parametrize(("seconds", "text"), [
    (-5, "Less than a second"), (0.9, "Less than a second"), (1.5, "1 second"), (59, "59 seconds"),
    (60, "About a minute"), (119, "About a minute"), (120, "2 minutes"), (3599, "59 minutes"), (3600, "About an hour"),
    (5399, "About an hour"), (5400, "2 hours"), (47 * 3600, "47 hours"), (48 * 3600, "2 days"),
    (13 * 86400, "13 days"), (14 * 86400, "2 weeks"), (60 * 86400, "2 months"), (800 * 86400, "2 years"),
])  # fmt: skip
def test_times_are_as_docker_writes_them(seconds: float, text: str) -> None:
    """Expected: what `units.HumanDuration` of docker/go-units makes of the same."""
    assert states.human_duration(timedelta(seconds=seconds)) == text


async def test_what_somebody_who_may_not_read_the_configuration_sees_of_it(it: Fronted) -> None:
    await it.deployed(domains=["shop.example.org"])
    page = await it.page("ada", (A.DEPLOY, SCOPE))
    (row,) = await page.services()
    assert has_the_shape(row)
    assert set(row["config"].values()) == {""}


@pytest.mark.parametrize("cpus", [0.5, 1, 2.0, 0.3333333333, 1000.125])
async def test_what_the_list_shows_sent_back_changes_nothing(it: Fronted, cpus: float) -> None:
    await it.deployed(
        limits={"cpus": cpus, "memory": "123456k"}, domains=["a.example.org", "b.example.org"], host_port="8081",
        site={"max_body_size": "1g"}, restart="on-failure",
    )  # fmt: skip
    before = await it.house.services.store.service(NAME)
    config = {key: value for key, value in (await it.root.service(NAME))["config"].items() if key != "image"}
    answer = await it.root.start(NAME, f"{IMAGE}:0001", **config)
    assert answer.body == {"success": True, "message": f"{NAME} runs as asked for.", "nginx": ""}
    assert await it.house.services.store.service(NAME) == before
    assert await it.count() == 1


# -- who sees what


@pytest.mark.parametrize("scope", [SCOPE, GLOBAL, "service:other"])
@pytest.mark.parametrize("action", list(Action))
async def test_the_permissions_of_each_grant(it: Fronted, action: Action, scope: str) -> None:
    if action in GLOBAL_ONLY and scope != GLOBAL:
        scope = GLOBAL
    await it.add()
    await it.add("other")
    page = await it.page("ada", (action, scope))
    person = await it.house.services.authority.who("user:ada")
    rows = {row["name"]: row["_permissions"] for row in await page.services()}
    assert set(rows) == {name for name in (NAME, "other") if person.may(A.VIEW_STATUS, name)}
    for name, permissions in rows.items():
        assert permissions == {word: person.may(meant, name) for word, meant in PERMISSIONS.items()}


async def test_a_user_without_rights_is_logged_in_and_sees_nothing(it: Fronted) -> None:
    await it.add()
    await pushed(it, "ghcr.io/acme/blog")
    answer = await (await it.page("ada")).call("GET", "/services")
    assert (answer.status, answer.body) == (200, [])


async def test_a_wrong_login_is_a_401_that_browsers_understand(it: Fronted) -> None:
    it.root.log_in("root", "a wrong password")
    answer = await it.root.call("GET", "/services")
    assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, 'Basic realm="Orchestr8"')
    assert answer.error
    assert answer.headers["Content-Type"].startswith("application/json")


# -- what could be installed


async def test_available_images_are_for_who_may_add_services(it: Fronted) -> None:
    await pushed(it, "ghcr.io/acme/blog", "0007")
    await it.add()
    row = (await it.root.services())[-1]
    assert has_the_shape(row)
    assert row == row | {
        "id": "registry-blog", "name": "blog", "image": "ghcr.io/acme/blog:0007", "state": "available",
        "latestImageTags": ["0007"], "latestImageDigest": "sha256:" + "e" * 64, "currentImageDigest": "",
    }  # fmt: skip
    assert row["config"]["image"] == "ghcr.io/acme/blog:0007"
    installer = await it.page("ada", (A.ADD_NEW_SERVICE, GLOBAL))
    assert [row["id"] for row in await installer.services()] == ["registry-blog"]
    for number, action in enumerate((A.MANAGE, A.PULL_NEW_IMAGE, A.EDIT_CONFIGURATION)):
        page = await it.page(f"bob{number}", (action, GLOBAL))
        assert "registry-blog" not in [row["id"] for row in await page.services()]


async def test_what_is_installed_or_dismissed_is_not_available(it: Fronted) -> None:
    for name in ("blog", "wiki", NAME):
        await pushed(it, f"ghcr.io/acme/{name}")
    await it.add()
    await it.house.services.store.dismiss_package("ghcr.io/acme/wiki")
    assert [row["id"] for row in await it.root.services() if row["state"] == "available"] == ["registry-blog"]


async def test_images_of_one_name_are_told_apart(it: Fronted) -> None:
    """The page knows rows by their ids, and a service's name can be given once."""
    await it.add()
    for image in ("ghcr.io/acme/blog", "ghcr.io/other/blog", "ghcr.io/other/storefront"):
        await pushed(it, image)
    rows = [row for row in await it.root.services() if row["state"] == "available"]
    assert {row["image"] for row in rows} == {
        "ghcr.io/acme/blog:0001", "ghcr.io/other/blog:0001", "ghcr.io/other/storefront:0001",
    }  # fmt: skip
    names = [row["name"] for row in rows]
    assert len({*names, NAME}) == 4
    assert "other-storefront" in names


# -- "update available"


async def test_a_newer_tag_is_an_update(it: Fronted) -> None:
    await it.deployed(follow={"auto_deploy": "approve"})
    newer = it.house.registry.push("0002")
    await it.look()
    row = await it.root.service(NAME)
    assert (row["latestImageDigest"], row["latestImageTags"]) == (newer, ["0002"])
    assert row["currentImageDigest"] != newer
    assert (await it.root.update(NAME)).error == ""
    row = await it.root.service(NAME)
    assert (row["image"], row["latestImageDigest"], row["currentImageDigest"]) == (f"{IMAGE}:0002", newer, newer)


async def test_a_service_that_does_not_deploy_by_itself_still_shows_what_is_newer(it: Fronted) -> None:
    await it.deployed(follow={"auto_deploy": "off"})
    newer = it.house.registry.push("0002")
    await it.look()
    assert (await it.root.service(NAME))["latestImageDigest"] == newer


@pytest.mark.parametrize("kept_back_by", ["off", "approve", "hold", "stop"])
@pytest.mark.parametrize("announced", ["0002", "sha-5d1e"])
async def test_a_push_that_is_not_deployed_by_itself_is_an_update_at_once(
    it: Fronted, kept_back_by: str, announced: str
) -> None:
    """Not ten minutes later. One push with several tags may be announced by any of them."""
    follows = kept_back_by if kept_back_by in ("off", "approve") else "on"
    await it.deployed(follow={"auto_deploy": follows})
    if kept_back_by == "hold":
        await it.house.ask("PUT", f"/services/{NAME}/hold", {"reason": "exam"})
    elif kept_back_by == "stop":
        await it.root.stop(NAME)
    newer = it.house.registry.push("0002")
    package = PackageEvent(image=IMAGE, tag=announced, digest="sha256:" + "a" * 64, commit="")
    await it.house.services.inbox.receive(delivery="d", event="package", body=b"{}", package=package, ignored="")
    row = await it.root.shows(NAME, lambda row: row.get("latestImageDigest") == newer)
    assert row["latestImageTags"] == ["0002"]
    assert row["currentImageDigest"] != newer


async def test_after_a_rollback_what_was_left_is_an_update(it: Fronted) -> None:
    first = await it.deployed()
    it.house.registry.push("0002")
    await it.look()
    await until(lambda: _serves(it, "0002"))
    await it.house.services.worker.want(Wanted(service=NAME, kind=Kind.ROLLBACK, actor="o8", target=first.id))
    await until(lambda: _serves(it, "0001"))
    row = await it.root.service(NAME)
    assert (row["image"], row["latestImageTags"]) == (f"{IMAGE}:0001", ["0002"])
    assert row["latestImageDigest"] != row["currentImageDigest"] == first.digest


async def _serves(it: Fronted, tag: str) -> bool:
    return (await it.live()).tag == tag


async def test_an_older_tag_is_never_an_update(it: Fronted) -> None:
    """0003 was deployed by hand since the last look."""
    await it.deployed()
    await it.look()
    it.house.registry.push("0003")
    assert (await it.root.start(NAME, f"{IMAGE}:0003")).error == ""
    row = await it.root.service(NAME)
    assert row["latestImageDigest"] == row["currentImageDigest"]
    assert row["latestImageTags"] == ["0003"]


async def test_a_moving_tag_that_moved_is_an_update_and_updating_brings_it(it: Fronted) -> None:
    await it.deployed(tag="main", follow={"policy": "tag", "tag": "main", "auto_deploy": "off"})
    it.house.registry.push("elsewhere")
    moved = it.house.registry.push("main")
    await it.look()
    row = await it.root.service(NAME)
    assert (row["latestImageTags"], row["latestImageDigest"]) == (["main"], moved)
    assert row["currentImageDigest"] != moved
    assert (await it.root.update(NAME)).error == ""
    row = await it.root.service(NAME)
    assert row["currentImageDigest"] == row["latestImageDigest"] == moved


async def test_a_moving_tag_deployed_since_the_last_look_is_no_update(it: Fronted) -> None:
    await it.deployed(tag="main", follow={"policy": "tag", "tag": "main", "auto_deploy": "off"})
    await it.look()
    it.house.registry.push("elsewhere")
    moved = it.house.registry.push("main")
    await it.house.services.worker.want(Wanted(service=NAME, kind=Kind.DEPLOY, actor="o8", tag="main"))

    async def is_live() -> bool:
        return (await it.live()).digest == moved

    await until(is_live)
    row = await it.root.service(NAME)
    assert row["latestImageDigest"] == row["currentImageDigest"] == moved


@pytest.mark.parametrize("changes", [{"image": "ghcr.io/acme/other"}, {"follow": {"policy": "tag", "tag": "0001"}}])
async def test_what_was_newest_of_another_image_or_policy_is_no_update(it: Fronted, changes: dict[str, Any]) -> None:
    await it.deployed(follow={"auto_deploy": "off"})
    it.house.registry.push("0002")
    await it.look()
    await it.add(**changes)
    row = await it.root.service(NAME)
    assert row["latestImageDigest"] == row["currentImageDigest"]


async def test_the_list_asks_neither_docker_nor_the_registry(it: Fronted) -> None:
    await it.deployed()
    engine, registry = it.house.engine, it.house.registry

    async def fail(*_: object, **__: object) -> None:
        raise AssertionError("the list must not ask")

    for part, names in ((engine, ("observe", "usage", "log", "has_image")), (registry, ("tags", "resolve", "created"))):
        for name in names:
            setattr(part, name, fail)
    assert (await it.root.call("GET", "/services")).status == 200
