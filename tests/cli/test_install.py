"""`o8 install` and the call behind it: one command from an image to a service that serves."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bot.errors import AccessDenied
from bot.registry.manifests import Config
from bot.store.catalogue import Listed
from tests.cli.conftest import Run
from tests.small_house import House

pytestmark = pytest.mark.slow

BLOG = "ghcr.io/acme/blog"


def push(house: House, tag: str = "0001", *, labels: dict[str, str] | None = None, port: bool = True) -> None:
    """An image that listens where the stand-in of its container answers."""
    config = {"Labels": labels or {}, "ExposedPorts": {f"{house.port}/tcp": {}} if port else {}}
    about = {"os": "linux", "architecture": "amd64", "config": config}
    house.registry.abouts[house.registry.push(tag)] = Config.model_validate(about)


async def lists(house: House, *images: str) -> None:
    for image in images:
        _, owner, name = image.split("/", 2)
        row = Listed(image=image, owner=owner, kind="orgs", name=name, repository="", updated_at="", versions=1)
        await house.services.store.list_package(row, (), "", "")


async def configuration(house: House, name: str = "blog") -> Any:
    return (await house.services.store.service(name)).configuration


async def test_an_image_becomes_a_service_that_serves(house: House, o8: Run) -> None:
    await house.services.worker.start()
    push(house, labels={"o8.health": "/up", "o8.colour": "red"})
    result = await o8("install", f"{BLOG}:0001")
    assert result.exit_code == 0, result.output
    assert result.output.startswith(f"{BLOG} 0001 becomes the service blog.\n")
    for line in (f"    port = {house.port}", '    path = "/up"', f"Port {house.port} by EXPOSE.",
                 "Health is asked at /up by its label o8.health.", "Label 'o8.colour' is none that o8 knows",
                 "It has no domain: BASE_DOMAIN is not set.", "blog 0001 is live."):  # fmt: skip
        assert line in result.output, line
    assert (await configuration(house)).health.path == "/up"
    assert (await house.services.store.audit(limit=1))[0].action == "deploy"


async def test_what_is_said_counts_more_than_what_the_image_says(house: House, o8: Run) -> None:
    push(house, labels={"o8.memory": "1g"}, port=False)
    result = await o8(
        "install", BLOG, "--name", "news", "--port", "7000", "--domain", "a.example.org", "--domain", "b.example.org",
        "--health", "/ok", "--memory", "256m", "--cpus", "0.5", "--replicas", "2", "--auto-deploy", "off", "--detach",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    kept = await configuration(house, "news")
    assert (kept.port, kept.domains, kept.health.path) == (7000, ("a.example.org", "b.example.org"), "/ok")
    assert (kept.limits.memory, kept.limits.cpus, kept.replicas, kept.follow.auto_deploy) == ("256m", 0.5, 2, "off")


async def test_a_dry_run_says_all_and_does_nothing(house: House, o8: Run) -> None:
    push(house, port=False)
    result = await o8("install", BLOG, "--dry-run")
    assert result.exit_code == 0 and "Port 8080 is a guess" in result.output
    shown = json.loads((await o8("install", BLOG, "--dry-run", "--json")).output)
    assert (shown["service"], shown["tag"], shown["deployment"], len(shown["doubts"])) == ("blog", "0001", None, 1)
    assert await house.services.store.service_names() == ()
    assert await house.services.store.audit(limit=1) == ()


async def test_json_has_the_plan_and_the_deployment_and_nothing_else_on_stdout(house: House, o8: Run) -> None:
    await house.services.worker.start()
    push(house)
    answer = json.loads((await o8("install", BLOG, "--json")).stdout)
    assert (answer["service"], answer["deployment"]["tag"]) == ("blog", "0001")
    assert answer["deployment"]["switched_at"] and answer["notes"]


@pytest.mark.parametrize(("said", "image"), [
    ("blog", BLOG), ("acme/blog", BLOG), ("shop/front", "ghcr.io/acme/shop/front"), ("beta/new", "ghcr.io/beta/new"),
    ("beta/web", "ghcr.io/beta/web"), ("localhost:5000/x", "localhost:5000/x"), (f" {BLOG} ", BLOG),
    ("ghcr.io/Acme/Blog", BLOG), ("Acme/Blog", BLOG),
])  # fmt: skip
async def test_a_short_name_is_enough_where_it_is_clear(house: House, o8: Run, said: str, image: str) -> None:
    await lists(house, BLOG, "ghcr.io/acme/shop/front", "ghcr.io/acme/web", "ghcr.io/beta/web")
    push(house)
    shown = await o8("install", said, "--dry-run", "--json")
    assert json.loads(shown.output)["image"] == image


@pytest.mark.parametrize(("said", "code", "words"), [
    ("web", 4, "may be ghcr.io/acme/web, ghcr.io/beta/web"), ("none", 3, "knows no image 'none'"),
("ghcr.io/acme/web:", 2, "is no image"), ("../web", 2, "is no image"),
    ("", 2, "is no image"), ("ghcr.io/acme/web:9999", 1, "has no tag 9999"), ("a" * 300, 2, "is no image"),
])  # fmt: skip
async def test_what_is_not_clear_is_asked_back(house: House, o8: Run, said: str, code: int, words: str) -> None:
    await lists(house, "ghcr.io/acme/web", "ghcr.io/beta/web")
    result = await o8("install", said)
    assert result.exit_code == code and words in result.stderr, result.stderr


async def test_a_name_that_was_chosen_and_is_taken_is_refused(house: House, o8: Run) -> None:
    await house.add("web")
    push(house)
    result = await o8("install", BLOG, "--name", "web")
    assert result.exit_code == 4 and "There is a service web already." in result.stderr
    result = await o8("install", "ghcr.io/beta/web", "--dry-run")
    assert "becomes the service beta-web" in result.output


async def test_the_same_command_again_makes_no_second_service(house: House, o8: Run) -> None:
    push(house)
    assert (await o8("install", BLOG, "--detach")).exit_code == 0
    result = await o8("install", BLOG)
    assert result.exit_code == 4 and f"blog uses {BLOG} already." in result.stderr
    result = await o8("install", BLOG, "--name", "second", "--dry-run")
    assert result.exit_code == 0 and "becomes the service second" in result.output


async def test_several_tags_without_order_are_asked_back(house: House, o8: Run) -> None:
    for tag in ("main", "edge"):
        push(house, tag)
    result = await o8("install", BLOG)
    assert result.exit_code == 2 and "Which tag of ghcr.io/acme/blog? It has main, edge." in result.stderr
    result = await o8("install", f"{BLOG}:edge", "--detach")
    assert result.exit_code == 0 and (await configuration(house)).follow.tag == "edge"


async def test_a_digest_can_be_installed(house: House, o8: Run) -> None:
    push(house)
    digest = house.registry.found["0001"]
    house.registry.found[digest] = digest
    result = await o8("install", f"{BLOG}@{digest}", "--detach")
    assert result.exit_code == 0, result.output
    (wanted,) = await house.services.store.deployments("blog")
    assert (wanted.tag, wanted.digest) == ("", digest)


async def test_a_private_image_says_what_is_missing(house: House, o8: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refused(image: str, reference: str) -> Any:
        raise AccessDenied("It is private.", "Set GITHUB_PAT.")

    monkeypatch.setattr(house.registry, "resolve", refused)
    result = await o8("install", f"{BLOG}:0001")
    assert result.exit_code == 1 and "It is private. Set GITHUB_PAT." in result.stderr


@pytest.mark.parametrize(("body", "words"), [
    ({}, "image is missing"), ({"image": 7}, "image is missing"), ({"image": BLOG, "port": "x"}, "port"),
    ({"image": BLOG, "color": "red"}, "color is not a known key"), ({"image": BLOG, "name": ["a"]}, "name"),
    ({"image": BLOG, "health": "x"}, "health"), ({"image": BLOG, "follow": {"policy": "tag"}}, 'needs the key "tag"'),
])  # fmt: skip
async def test_a_call_that_is_wrong_is_refused_by_the_key(house: House, body: dict[str, Any], words: str) -> None:
    push(house)
    status, problem = await house.ask("POST", "/services", body)
    assert status == 400 and words in problem["detail"]
    assert await house.services.store.service_names() == ()


async def test_the_call_takes_any_key_of_a_service_file(house: House) -> None:
    push(house)
    body = {"image": f"{BLOG}:0001", "volumes": [{"name": "data", "path": "/data"}], "limits": {"pids": 64}}
    status, answer = await house.ask("POST", "/services", body)
    assert status == 200 and answer["deployment"]["state"] == "queued"
    kept = await configuration(house)
    assert (kept.volumes[0].path, kept.limits.pids, kept.port) == ("/data", 64, house.port)
