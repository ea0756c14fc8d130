"""`/o8 install` in Slack: the modal is there at once, and is filled when the registry has answered."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pytest

from bot.models import Deployment
from handlers.chatops.verbs import packages
from lab.broken_registry import BrokenRegistry, Reply, broken_registry
from lab.slack import SlackView, screen
from lab.slack.limits import check_view
from lab.waiting import until
from tests.slack.conftest import Office

pytestmark = pytest.mark.slow

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"


@pytest.fixture
def registry() -> Iterator[BrokenRegistry]:
    with broken_registry() as registry:
        yield registry


def push(registry: BrokenRegistry, tag: str, says: dict[str, Any]) -> str:
    """`acme/blog:TAG` that says so much about itself; its name."""
    config = json.dumps({"os": "linux", "architecture": "amd64", "config": says}).encode()
    digest = f"sha256:{hashlib.sha256(config).hexdigest()}"
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "layers": [],
                "config": {"mediaType": CONFIG, "digest": digest, "size": len(config)}}  # fmt: skip
    body = json.dumps(manifest).encode()
    of_manifest = f"sha256:{hashlib.sha256(body).hexdigest()}"
    registry.script("/v2/acme/blog/tags/list", Reply(body=json.dumps({"name": "acme/blog", "tags": [tag]}).encode()))
    for reference in (tag, of_manifest):
        registry.script(f"/v2/acme/blog/manifests/{reference}", Reply(body=body, headers={"Content-Type": MANIFEST}))
    registry.script(f"/v2/acme/blog/blobs/{digest}", Reply(body=config))
    return f"{registry.address}/acme/blog"


async def filled(office: Office, view: SlackView) -> SlackView:
    """A modal that waits no more."""

    async def look() -> bool:
        return "Looking at" not in words_of(view)

    await until(look)
    assert check_view(view.view) == []
    return view


def words_of(view: SlackView) -> str:
    return screen.as_text({"text": "", "blocks": view.view["blocks"]})


def values_of(view: SlackView) -> dict[str, str]:
    """What stands in the inputs."""
    found = {}
    for block in view.view["blocks"]:
        if block["type"] == "input":
            element = block["element"]
            chosen = (element.get("initial_option") or {}).get("value", "")
            found[block["block_id"]] = element.get("initial_value", chosen)
    return found


async def test_the_modal_is_there_at_once_and_then_has_what_the_image_says(
    office: Office, registry: BrokenRegistry
) -> None:
    says = {
        "ExposedPorts": {"9000/tcp": {}},
        "Healthcheck": {"Test": ["CMD", "true"]},
        "Labels": {"o8.domain": "blog.example.org", "o8.cpus": "0.5", "o8.replicas": "2", "o8.evil": "<!here>"},
    }
    image = push(registry, "1.2.0", says)
    answer = await office.driver.command(office.root, "/o8", f"install {image}")
    assert answer.is_in_time
    view = await filled(office, await office.view(office.root))
    assert values_of(view) == {
        "name": "blog", "port": "9000", "domains": "blog.example.org", "health": "", "memory": "512m", "cpus": "0.5",
        "auto_deploy": "on",
    }  # fmt: skip
    words = words_of(view)
    assert f"{image}:1.2.0" in words and "Port 9000 by EXPOSE." in words and "o8.evil" in words
    assert (await office.driver.submit(office.root, view, values_of(view) | {"name": "news"})).is_in_time
    store = office.app.services.store

    async def look() -> tuple[Deployment, ...]:
        return await store.deployments("news")

    (wanted,) = await until(look)
    kept = (await store.service("news")).configuration
    assert (kept.health.kind, kept.replicas, kept.follow.policy) == ("image", 2, "semver")
    assert kept.domains == ("blog.example.org",)
    assert wanted.tag == "1.2.0" and wanted.actor == f"slack:{office.slack.team}:{office.root}"


async def test_no_modal_waits_for_a_registry_that_is_silent(
    office: Office, registry: BrokenRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "PATIENCE_S", 0.5)
    registry.script("/v2/acme/blog/manifests/0001", Reply(is_silent=True))
    assert (await office.driver.command(office.root, "/o8", f"install {registry.address}/acme/blog:0001")).is_in_time
    view = await office.view(office.root)
    assert "Looking at" in words_of(view) and check_view(view.view) == []
    await filled(office, view)
    assert "The registry has not answered yet: what stands here is a guess." in words_of(view)
    assert (values_of(view)["name"], values_of(view)["port"]) == ("blog", "8080")


async def test_a_modal_says_why_there_is_nothing_to_fill_in(office: Office, registry: BrokenRegistry) -> None:
    await office.driver.command(office.root, "/o8", "install nobodys")
    view = await filled(office, await office.view(office.root))
    assert "o8 knows no image 'nobodys'." in words_of(view)
    assert not values_of(view) and "submit" not in view.view


async def test_a_modal_that_was_closed_meanwhile_stays_closed(
    office: Office, registry: BrokenRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "PATIENCE_S", 0.3)
    registry.script("/v2/acme/blog/manifests/0001", Reply(is_silent=True))
    before = len(office.slack.ephemerals(office.root))
    await office.driver.command(office.root, "/o8", f"install {registry.address}/acme/blog:0001")
    view = await office.view(office.root)
    view.is_open = False

    async def was_tried() -> bool:
        return any(call.method == "views.update" for call in office.slack.calls)

    await until(was_tried)
    assert len(office.slack.ephemerals(office.root)) == before


async def test_who_may_not_add_services_gets_no_modal(office: Office) -> None:
    told = await office.says(office.ada, "install ghcr.io/acme/blog:0001")
    assert "You need `add_new_service` in `global`" in told and not office.slack.views
