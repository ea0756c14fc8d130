"""What a service is: configuration that nobody overwrites unseen, what is known of its newest tag, the overview."""

from __future__ import annotations

from typing import Any

import pytest

from bot.errors import ChangedMeanwhile
from tests.store.ledger import Ledger, configuration, digest


async def test_a_change_of_what_somebody_else_has_changed_is_refused(ledger: Ledger) -> None:
    seen = (await ledger.service()).configuration
    theirs = seen.model_copy(update={"replicas": 2})
    assert await ledger.store.apply(theirs, 100, seen) is False
    with pytest.raises(ChangedMeanwhile):
        await ledger.store.apply(seen.model_copy(update={"port": 9090}), 100, seen)
    assert (await ledger.store.service("web")).configuration == theirs


async def test_a_change_of_what_was_removed_does_not_bring_it_back(ledger: Ledger) -> None:
    seen = (await ledger.service()).configuration
    await ledger.store.forget_service("web")
    with pytest.raises(ChangedMeanwhile):
        await ledger.store.apply(seen, 100, seen)
    assert await ledger.store.service_names() == ()


async def test_of_two_who_add_a_service_one_is_told_that_it_is_there(ledger: Ledger) -> None:
    first, second = configuration(), configuration(port=9090)
    assert await ledger.store.apply(first, 100, "absent") is True
    with pytest.raises(ChangedMeanwhile):
        await ledger.store.apply(second, 100, "absent")
    assert (await ledger.store.service("web")).configuration == first


@pytest.mark.parametrize(("changes", "is_known"), [
    ({}, True), ({"replicas": 2}, True), ({"follow": {"auto_deploy": "off"}}, True),
    ({"image": "ghcr.io/acme/other"}, False), ({"follow": {"policy": "semver"}}, False),
])  # fmt: skip
async def test_the_newest_tag_is_forgotten_with_the_image_and_policy_that_it_was_found_for(
    ledger: Ledger, changes: dict[str, Any], is_known: bool
) -> None:
    await ledger.service()
    await ledger.store.found_newest("web", "0002", digest(2))
    await ledger.service(**changes)
    assert ("web" in await ledger.store.newest_tags()) is is_known


async def test_the_overview_has_what_serves_and_what_was_asked_for_last(ledger: Ledger) -> None:
    for name in ("api", "new", "web"):
        await ledger.service(name)
    api = await ledger.release("0001", service="api")
    web = await ledger.release("0001")
    failed = await ledger.push("0002")
    found = {each.service.name: each for each in await ledger.store.overview()}
    assert list(found) == ["api", "new", "web"]
    assert (found["new"].live, found["new"].last) == (None, None)
    assert found["api"].live == found["api"].last == api.model_copy(update={"steps": ()})
    assert found["web"].live == web.model_copy(update={"steps": ()})
    assert found["web"].last == failed
    assert found["web"].live.configuration == configuration("web")
