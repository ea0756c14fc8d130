"""What people hear of a certificate: in the channel, from the doctor, in the API, on the command line."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bot.chat import CardKind
from bot.findings import Finding
from bot.notifiers.slack.cards import render
from lab.certificates import identity, keep
from tests.certificates.workshop import FAILS, USUAL, Workshop
from tests.small_house import House, open_house


async def cards(shop: Workshop, *, is_posted: bool = True) -> list[tuple[str, bool]]:
    """What each card says and whether it is told at night, oldest first."""
    found = []
    for card in await shop.store.due_cards():
        if card.kind is CardKind.CERTIFICATE:
            assert card.service == "web"  # so that it goes to the channel of its service
            if rendered := await render(card.model_copy(update={"ts": "1.0" if is_posted else ""}), shop.store):
                found.append((rendered.message.text, rendered.is_trouble))
    return found


async def test_nothing_is_told_while_all_is_well(shop: Workshop) -> None:
    await shop.serves()
    shop.has("web.test")
    await shop.certificates.look()
    assert await cards(shop) == []


async def test_a_refusal_is_one_message_until_there_is_a_certificate(shop: Workshop) -> None:
    await shop.serves()
    shop.will_fail(FAILS.format(name="web.test"))
    for hours in (0, 1, 5):
        await shop.time_passes(hours=hours)
        await shop.certificates.look()
    ((text, is_trouble),) = await cards(shop)
    assert "web has no certificate" in text and "Connection refused" in text and "by HTTP" in text
    assert not is_trouble
    shop.will_give("web", "web.test")
    await shop.time_passes(hours=5)
    await shop.certificates.look()
    ((text, is_trouble),) = await cards(shop)
    assert "has a good certificate, until 20" in text and not is_trouble
    assert await cards(shop, is_posted=False) == []  # over before anybody heard of it


async def test_a_certificate_that_ends_in_two_weeks_is_told_and_one_that_is_over_at_night_too(shop: Workshop) -> None:
    await shop.serves()
    shop.has("web.test", days_left=13.9)
    shop.will_fail(FAILS.format(name="web.test"))
    await shop.certificates.look()
    ((text, is_trouble),) = await cards(shop)
    assert "The certificate of web ends on 20" in text and "Connection refused" in text and not is_trouble
    shop.has("web.test", days_left=-0.1)
    await shop.certificates.look()
    _, (text, is_trouble) = await cards(shop)
    assert "is over since 20" in text and is_trouble
    shop.will_give("web", "web.test")
    await shop.time_passes(hours=5)
    await shop.certificates.look()
    assert [("good certificate" in text, is_trouble) for text, is_trouble in await cards(shop)] == [(True, False)] * 2


async def test_one_that_somebody_else_has_to_renew_says_so(shop: Workshop, tmp_path: Path) -> None:
    found = identity("web.test", days_left=10, days_of_life=90, quick=True)
    (tmp_path / "chain.pem").write_bytes(found.certificate_pem)
    await shop.serves(tls="certificate", certificate=f"{tmp_path}/chain.pem", key=f"{tmp_path}/key.pem")
    await shop.certificates.look()
    ((text, _),) = await cards(shop)
    assert "Whoever made it has to renew it" in text
    assert shop.asked() == []
    await shop.serves(tls="off")
    await shop.certificates.look()
    ((text, _),) = await cards(shop)
    assert "needs no certificate any more" in text


async def test_the_same_day_no_second_message_comes(shop: Workshop) -> None:
    await shop.serves()
    for left in (13, 89, 13, 89):
        shop.has("web.test", days_left=left)
        shop.will_fail("no")
        await shop.certificates.look()
    assert len(await cards(shop)) == 1


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    certbot = tmp_path / "certbot"
    certbot.write_text("#!/bin/sh\necho certbot 2.1.0\n")
    certbot.chmod(0o755)
    async with open_house(tmp_path / "data", certbot_command=str(certbot)) as house:
        await house.services.worker.start()
        await house.add(domains=["web.test"], site={"tls": "auto"})
        await house.deployed()
        yield house


async def examined(house: House) -> dict[str, Finding]:
    return {each.subject: each for each in await house.services.doctor.check()}


async def shown(house: House) -> dict[str, Any]:
    _, service = await house.ask("GET", "/services/web")
    return dict(service["certificate"])


async def test_before_there_is_one(house: House) -> None:
    found = (await examined(house))["certificate of web"]
    assert (found.state, "none yet" in found.message) == ("warning", True)
    assert (await shown(house))["ends_at"] is None


@pytest.mark.parametrize(
    ("left", "state", "level", "said"),
    [(89, "ok", "", "good until"), (13, "warning", "ending", "It ends on"), (-1, "fault", "over", "It is over since")],
)
async def test_how_long_it_is_good(house: House, left: float, state: str, level: str, said: str) -> None:
    keep(house.services.settings.certificates_dir, "web", identity("web.test", **USUAL | {"days_left": left}))
    found = await examined(house)
    assert (found["certificate of web"].state, said in found["certificate of web"].message) == (state, True)
    assert found["certbot"].message == "certbot 2.1 gets certificates."
    seen = await shown(house)
    assert (seen["source"], seen["covers"], seen["level"]) == ("auto", ["web.test"], level)
    assert (datetime.fromisoformat(seen["ends_at"]) - datetime.now(UTC)).days in (int(left), int(left) - 1)


async def test_what_the_authority_said_is_seen_by_everybody(house: House) -> None:
    trouble = "There is no certificate for web.test: Connection refused."
    await house.services.store.certificate_failed("web", frozenset({"web.test"}), trouble, is_refusal=True)
    found = (await examined(house))["certificate of web"]
    assert found.state == "fault"
    assert found.message == f"web.test can only be visited by HTTP. {trouble}"
    assert "`o8 service certificate web`" in found.next_step
    seen = await shown(house)
    assert (seen["level"], seen["trouble"]) == ("missing", trouble)
    keep(house.services.settings.certificates_dir, "web", identity("web.test", **USUAL))
    found = (await examined(house))["certificate of web"]  # there is one: it was a renewal
    assert (found.state, "It was not renewed" in found.message) == ("warning", True)


async def test_a_missing_certbot_is_a_fault_with_what_to_do(house: House) -> None:
    (house.folder.parent / "certbot").unlink()
    found = (await examined(house))["certificates"]
    assert (found.state, "apt-get install certbot" in found.next_step) == ("fault", True)


async def test_without_tls_nobody_hears_of_certificates(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        await house.services.worker.start()
        await house.add(domains=["web.test"])
        await house.deployed()
        assert not [subject for subject in await examined(house) if "cert" in subject]
        _, service = await house.ask("GET", "/services/web")
        assert service["certificate"] is None
        status, problem = await house.ask("POST", "/services/web/certificate")
        assert (status, problem["code"]) == (409, "conflict")
