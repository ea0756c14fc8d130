"""A whole o8 on a small disk: what nothing needs makes room for what is wanted, and only that goes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import docker
import pytest

from lab.house import House, house
from lab.images import busybox_image
from lab.private_engine import PrivateEngine, private_engine
from lab.tenant import Tenant
from tests.system.test_faults_machine import _full_disk

pytestmark = [pytest.mark.parts]
LARGE = 120_000_000


def references(engine: PrivateEngine) -> set[str]:
    """Every image of the engine, by digest and by tag."""
    client = docker.APIClient(engine.host)
    found = {name for image in client.images() for key in ("RepoDigests", "RepoTags") for name in image[key] or ()}
    client.close()
    return found


async def prune(home: House, *, dry_run: bool) -> list[str]:
    answer: dict[str, Any] = await home.call("POST", f"/prune?dry_run={str(dry_run).lower()}")
    assert answer["bytes"] >= LARGE * len(answer["images"])
    return [f"{each['image']}@{each['digest']}" for each in answer["images"]]


async def deployed(tenant: Tenant, tag: str, size: int) -> str:
    """Reference of a large release that serves."""
    made = await tenant.make_large(tag, size)
    await tenant.serves((await tenant.house.deploy(tenant.name))["id"])
    return f"{made.image}@{made.digest}"


async def test_images_of_removed_services_make_room_for_a_release(tmp_path: Path) -> None:
    with private_engine(disk="800m") as engine:
        async with house(engine) as home:
            await home.start()
            theirs = busybox_image(engine.host, home.registry.image("acme/tool"))  # here, and not by o8
            old, web = Tenant(home, "old"), Tenant(home, "web")
            for tenant in (old, web):
                # busybox's web server has no /health
                await tenant.apply(watch=0, follow={"auto_deploy": "off"}, health={"path": "/", "within": 20})
            gone = await deployed(old, "0001", LARGE)
            kept = await deployed(web, "0001", 1_000_000)
            assert await prune(home, dry_run=True) == []
            await home.call("DELETE", "/services/old")
            assert await prune(home, dry_run=True) == [gone]
            assert {gone, kept} <= references(engine)

            made = await web.make_large("0002", 40_000_000)
            async with _full_disk(engine, left=30):
                wanted = await home.ended((await home.deploy("web"))["id"])
            assert (wanted["state"], wanted["error"]) == ("succeeded", "")
            here = references(engine)
            assert gone not in here
            assert {kept, f"{made.image}@{made.digest}", f"{theirs.image}@{theirs.digest}"} <= here
            (entry,) = [entry for entry in await home.get("/audit") if entry["action"] == "prune"]
            assert (entry["actor"], entry["detail"]["images"]) == ("o8", [gone])

            # The control: nothing is spare any more, so the next one fails and what serves goes on.
            await web.make_large("0003", 40_000_000)
            async with _full_disk(engine, left=30):
                failed = await home.ended((await home.deploy("web"))["id"])
            assert (failed["state"], failed["error_code"]) == ("failed", "disk_full")
            assert "no spare image left" in failed["next_step"]
            assert (await home.visit(web.host))[0] == 200
            rolled_back = await home.ended((await home.deploy("web", kind="rollback"))["id"])
            assert rolled_back["state"] == "succeeded"


async def test_prune_removes_what_is_spare_by_hand(tmp_path: Path) -> None:
    with private_engine(disk="800m") as engine:
        async with house(engine) as home:
            await home.start()
            web = Tenant(home, "web")
            await web.apply(watch=0, keep_releases=1, follow={"auto_deploy": "off"}, health={"path": "/", "within": 20})
            first = await deployed(web, "0001", LARGE)
            await home.call("DELETE", "/services/web")
            assert await prune(home, dry_run=True) == [first]
            client = docker.APIClient(engine.host)
            theirs = client.create_container(first, ["sleep", "1"])  # somebody uses it
            assert await prune(home, dry_run=False) == []
            client.remove_container(theirs)
            client.close()
            assert await prune(home, dry_run=False) == [first]
            assert first not in references(engine)
            assert await prune(home, dry_run=False) == []
