"""`o8 prune` and its call: what is spare, how much that is, and who had it removed."""

from __future__ import annotations

import json

from tests.cli.conftest import Run
from tests.small_house import House
from tests.store.ledger import IMAGE, Ledger, digest

SIZE = 40_000_000


async def spare(house: House, *numbers: int) -> None:
    """Images of a service that is gone; release 9 of `web` is there to stay."""
    ledger = Ledger(house.services.store)
    for name, releases in (("web", (9,)), ("old", numbers)):
        await ledger.service(name, image=IMAGE)
        for number in releases:
            house.engine.images[IMAGE, digest(number)] = SIZE
            await house.services.store.pulled(IMAGE, digest(number), name)
            await ledger.release(f"000{number}", number, name)
    await house.services.store.forget_service("old")


async def test_prune_says_what_it_would_remove_then_removes_it(house: House, o8: Run) -> None:
    await spare(house, 1, 2)
    tried = await o8("prune", "--dry-run")
    assert tried.exit_code == 0, tried.output
    assert "2 images would be removed, at most 80.0 MB" in tried.output
    assert tried.output.count(IMAGE) == 2 and digest(9) not in tried.output
    assert len(house.engine.images) == 3
    done = await o8("prune")
    assert "2 images were removed, at most 80.0 MB" in done.output
    assert list(house.engine.images) == [(IMAGE, digest(9))]
    assert (await o8("prune")).output == "No image is spare.\n"


async def test_a_dry_run_is_not_in_the_audit(house: House, o8: Run) -> None:
    await spare(house, 1)
    for arguments in (["prune", "--dry-run"], ["prune"], ["prune"]):
        assert (await o8(*arguments)).exit_code == 0
    entries = [entry for entry in await house.services.store.audit() if entry.action == "prune"]
    assert all(entry.actor.startswith("cli:") for entry in entries)
    assert [entry.detail for entry in reversed(entries)] == [
        {"bytes": SIZE, "images": [f"{IMAGE}@{digest(1)}"]}, {"bytes": 0, "images": []},
    ]  # fmt: skip


async def test_prune_answers_programs_too(house: House, o8: Run) -> None:
    await spare(house, 1)
    expected = {
        "images": [{"image": IMAGE, "digest": digest(1), "bytes": SIZE}], "bytes": SIZE, "is_dry_run": True,
    }  # fmt: skip
    assert json.loads((await o8("prune", "--dry-run", "--json")).output) == expected
    assert await house.ask("POST", "/prune?dry_run=true") == (200, expected)
    assert (await house.ask("POST", "/prune?dry_run=perhaps"))[0] == 400
    assert (await house.ask("POST", "/prune"))[1] == expected | {"is_dry_run": False}
    assert (IMAGE, digest(1)) not in house.engine.images
