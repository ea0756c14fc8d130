"""When the authority is asked, for which names, and what follows when it says no."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from bot.certificates import certbot
from bot.errors import CertificateError, StoreUnavailable
from bot.models import Address
from bot.nginx import Nginx
from lab.certificates import identity, keep
from lab.waiting import until
from tests.certificates.workshop import FAILS, USUAL, Workshop
from tests.store.ledger import configuration


def text_of(domain: str, shop: Workshop) -> str:
    """Of the site of `web`."""
    there = [Address("127.0.0.1", 80)]
    found = configuration("web", domains=(domain,), site={"tls": "auto"})
    return Nginx(shop.settings).render(found, {"a": there, "b": there})


async def test_a_service_that_serves_gets_a_certificate_and_its_site_another_text(shop: Workshop) -> None:
    await shop.serves(domains=["web.test", "www.web.test"])
    shop.will_give("web", "web.test", "www.web.test")
    await shop.certificates.look()
    assert shop.asked() == [["web.test", "www.web.test"]]
    assert shop.noticed == 1
    assert (await shop.standing()).level() == ""
    assert shop.settings.certificates_dir.stat().st_mode & 0o777 == 0o700


async def test_nothing_is_asked_twice(shop: Workshop) -> None:
    await shop.serves()
    shop.will_give("web", "web.test")
    for _ in range(3):
        await shop.certificates.look()
    assert (len(shop.asked()), shop.noticed) == (1, 1)


@pytest.mark.parametrize(
    ("left", "life", "is_renewed"), [(31, 90, False), (29, 90, True), (2.1, 6, False), (1.9, 6, True), (-1, 90, True)]
)
async def test_it_is_renewed_a_month_before_its_end_or_when_a_third_is_left(
    shop: Workshop, left: float, life: float, is_renewed: bool
) -> None:
    await shop.serves()
    shop.has("web.test", days_left=left, days_of_life=life)
    shop.will_give("web", "web.test")
    await shop.certificates.look()
    assert (len(shop.asked()), shop.noticed) == (is_renewed, is_renewed)


async def test_only_those_that_serve_and_want_one_get_one(shop: Workshop) -> None:
    await shop.ledger.service("new", domains=("new.test",), site={"tls": "auto"})
    await shop.serves("plain", ["plain.test"], tls="off")
    await shop.serves("nameless", [])
    shop.will_fail("must not be asked")
    await shop.certificates.look()
    assert shop.asked() == []


async def test_a_domain_is_asked_for_once_it_serves(shop: Workshop) -> None:
    """Before, the authority would find nobody there, and not be asked again for a quarter of an hour."""
    await shop.serves()
    shop.has("web.test")
    await shop.ledger.service("web", domains=("web.test", "more.test"), site={"tls": "auto"})
    shop.will_give("web", "web.test", "more.test")
    await shop.certificates.look()
    assert shop.asked() == []
    await shop.ledger.release("0002")
    await shop.certificates.look()
    assert shop.asked() == [["web.test", "more.test"]]


async def test_a_refusal_is_remembered_and_asked_about_later_and_later(shop: Workshop) -> None:
    await shop.serves()
    shop.will_fail(FAILS.format(name="web.test"))
    await shop.certificates.look()
    standing = await shop.standing()
    assert (standing.level(), "Connection refused" in standing.trouble) == ("missing", True)
    for minutes, tries in ((14, 1), (16, 2), (29, 2), (31, 3), (59, 3), (61, 4), (1000, 5)):
        await shop.time_passes(minutes=minutes)
        shop.begin()  # a restart makes no difference
        await shop.certificates.look()
        assert len(shop.asked()) == tries, minutes
    shop.will_give("web", "web.test")
    await shop.time_passes(hours=4)
    await shop.certificates.look()
    assert ((await shop.standing()).trouble, await shop.store.certificate_failures()) == ("", {})


async def test_what_could_not_even_be_asked_is_tried_each_minute_and_after_a_restart(shop: Workshop) -> None:
    await shop.serves()
    await shop.certificates.look()
    trouble = (await shop.standing()).trouble
    assert "cannot be started: No such file" in trouble and "apt-get install certbot" in trouble
    shop.will_give("web", "web.test")
    await shop.certificates.look()
    assert shop.asked() == []
    await shop.time_passes(seconds=61)
    await shop.certificates.look()
    assert len(shop.asked()) == 1


async def test_after_a_restart_a_missing_program_is_looked_for_at_once(shop: Workshop) -> None:
    await shop.serves()
    await shop.certificates.look()
    shop.will_give("web", "web.test")
    running = asyncio.create_task(shop.certificates.run())
    await until(lambda: asyncio.sleep(0, shop.noticed))
    running.cancel()


@pytest.mark.slow
async def test_whoever_does_not_want_to_wait_makes_o8_ask_at_once(shop: Workshop) -> None:
    await shop.serves()
    shop.will_fail(FAILS.format(name="web.test"))
    running = asyncio.create_task(shop.certificates.run())
    await until(shop.store.certificate_failures)
    shop.will_give("web", "web.test")
    await shop.store.forget_certificate_failure("web")
    await until(lambda: asyncio.sleep(0, shop.noticed))
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def test_one_that_is_still_at_work_since_before_a_kill_is_waited_for(shop: Workshop) -> None:
    await shop.serves()
    shop.will_fail("Another instance of Certbot is already running.")
    await shop.certificates.look()
    await shop.time_passes(seconds=61)
    await shop.certificates.look()
    assert len(shop.asked()) == 2


async def test_an_authority_is_not_pressed_by_an_o8_that_cannot_write_down_what_it_said(shop: Workshop) -> None:
    await shop.serves()
    shop.will_fail(FAILS.format(name="web.test"))
    await shop.store.write(lambda db: db.execute("PRAGMA query_only = 1"))  # as on a full disk
    with pytest.raises(StoreUnavailable):
        await shop.certificates.look()
    for _ in range(3):
        await shop.certificates.look()
    assert len(shop.asked()) == 1


async def test_a_certificate_that_cannot_be_read_just_now_is_neither_removed_nor_taken_for_none(shop: Workshop) -> None:
    """As without file handles: here its folder is a file for a moment."""
    await shop.serves()
    shop.has("web.test")
    archive = shop.settings.certificates_dir / "archive"
    archive.rename(archive.with_name("aside"))
    archive.write_text("")
    shop.will_fail("must not be asked")
    await shop.certificates.look()
    assert shop.asked() == []
    with pytest.raises(CertificateError, match="Not a directory"):
        text_of("web.test", shop)
    archive.unlink()
    archive.with_name("aside").rename(archive)
    assert "ssl_certificate " in text_of("web.test", shop)
    await shop.time_passes(minutes=2)
    await shop.certificates.look()
    assert (shop.asked(), (await shop.standing()).trouble) == ([], "")


async def test_one_bad_name_does_not_keep_the_others_from_https(shop: Workshop) -> None:
    await shop.serves(domains=["web.test", "gone.test"])
    prepared = shop.folder / "prepared"
    keep(prepared, "web", identity("web.test", **USUAL))
    (shop.folder / "said").write_text(FAILS.format(name="gone.test"))
    shop.certbot(f'case "$*" in *gone.test*) cat {shop.folder}/said; exit 1;; esac',
                 f"cp -a {prepared}/. {shop.settings.certificates_dir}")  # fmt: skip
    await shop.certificates.look()
    assert shop.asked() == [["web.test", "gone.test"], ["web.test"]]
    standing = await shop.standing()
    assert standing.certificate and standing.certificate.names == {"web.test"}
    assert (standing.level(), "gone.test" in standing.trouble) == ("missing", True)
    await shop.time_passes(hours=5)
    await shop.certificates.look()  # the good one is not had again: authorities count that
    assert shop.asked()[2:] == [["web.test", "gone.test"]]


@pytest.mark.parametrize(("left", "tries"), [(20, 1), (13, 2)])
async def test_a_name_is_given_up_only_when_the_end_is_near(shop: Workshop, left: int, tries: int) -> None:
    await shop.serves(domains=["web.test", "gone.test"])
    shop.has("web.test", "gone.test", days_left=left)
    shop.will_fail(FAILS.format(name="gone.test"))
    await shop.certificates.look()
    assert len(shop.asked()) == tries


async def test_other_names_are_asked_for_without_waiting(shop: Workshop) -> None:
    await shop.serves(domains=["wrogn.test"])
    shop.will_fail(FAILS.format(name="wrogn.test"))
    await shop.certificates.look()
    shop.will_give("web", "wrong.test")
    await shop.serves(domains=["wrong.test"])
    await shop.certificates.look()
    assert shop.asked() == [["wrogn.test"], ["wrong.test"]]


async def test_the_trouble_is_over_when_the_name_is_not_wanted_any_more(shop: Workshop) -> None:
    await shop.serves(domains=["web.test", "gone.test"])
    shop.has("web.test")
    shop.will_fail(FAILS.format(name="gone.test"))
    await shop.certificates.look()
    await shop.serves(domains=["web.test"])
    await shop.certificates.look()
    assert (await shop.standing()).trouble == ""


async def test_a_certbot_that_ends_well_without_a_certificate_is_not_asked_again_and_again(shop: Workshop) -> None:
    await shop.serves()
    shop.certbot("exit 0")
    for _ in range(3):
        await shop.certificates.look()
    assert len(shop.asked()) == 1
    assert "there is no good certificate for web.test" in (await shop.standing()).trouble


async def test_a_wildcard_without_a_hook_is_told_and_the_rest_has_its_certificate(shop: Workshop) -> None:
    await shop.serves(domains=["*.web.test", "other.test"])
    shop.will_give("web", "other.test")
    await shop.certificates.look()
    standing = await shop.standing()
    assert shop.asked() == [["other.test"]]
    assert (standing.level(), "TLS_DNS_HOOK is not set" in standing.trouble) == ("missing", True)


@pytest.mark.parametrize(
    ("setting", "said"),
    [({"tls_dns_hook": "/no/such/hook"}, "no program"), ({"tls_dns_hook": "/usr/lib"}, "no program"),
     ({"certbot_command": 'certbot "'}, "CERTBOT_COMMAND cannot be read: No closing quotation")],
)  # fmt: skip
async def test_a_setting_that_cannot_work_is_told_and_no_authority_hears_of_it(
    shop: Workshop, setting: dict[str, str], said: str
) -> None:
    await shop.serves(domains=["*.web.test"])
    shop.will_fail("must not be asked")
    shop.begin(**{"tls_dns_hook": "/bin/true"} | setting)
    await shop.certificates.look()
    assert said in (await shop.standing()).trouble
    assert shop.asked() == []
    assert (await shop.store.certificate_failures())["web"].tries == 0


async def test_names_that_a_wildcard_covers_are_left_out(shop: Workshop) -> None:
    """https://community.letsencrypt.org: "redundant with a wildcard domain in the same request" """
    names = ["*.web.test", "a.web.test", "web.test", "a.b.web.test"]
    await shop.serves(domains=names)
    shop.begin(tls_dns_hook="/bin/true")
    shop.will_give("web", "*.web.test", "web.test", "a.b.web.test")
    await shop.certificates.look()
    assert shop.asked() == [["*.web.test", "web.test", "a.b.web.test"]]
    assert (await shop.standing()).level() == ""


async def test_certbot_and_its_hooks_see_no_secret_of_o8(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GITHUB_PAT", "AUTH_PASSWORD_FILE", "DNS_TOKEN"):
        monkeypatch.setenv(name, "canary-1234")
    await shop.serves()
    shop.will_give("web", "web.test")
    await shop.certificates.look()
    lines = [line for line in shop.environment().splitlines() if "canary-1234" in line]
    assert lines == ["DNS_TOKEN=canary-1234"]  # that one is not o8's: the hook's, perhaps


async def test_what_a_kill_left_of_a_first_certificate_is_removed(shop: Workshop) -> None:
    """Otherwise certbot makes `web-0001`, where nobody looks."""
    folder = shop.settings.certificates_dir
    (folder / "renewal").mkdir(parents=True)
    (folder / "renewal/web.conf").write_text("")
    (folder / "live/web").mkdir(parents=True)
    await shop.serves()
    shop.certbot(f"ls {folder}/renewal {folder}/live > {shop.folder}/there", "exit 1")
    await shop.certificates.look()
    assert "web" not in (shop.folder / "there").read_text().split()


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        ("certbot: error: unrecognized arguments: --renew-with-new-domains", "is too old for o8. Install certbot 1.12"),
        ("An unexpected error occurred:\nError creating new order :: too many certificates already issued for web.test",
         "too many certificates already issued"),
        ("", "it said nothing"),
        ("Another instance of Certbot is already running.", "already running"),
    ],
)  # fmt: skip
async def test_the_reason_is_what_the_authority_said(shop: Workshop, output: str, sentence: str) -> None:
    shop.will_fail(output)
    with pytest.raises(CertificateError) as found:
        await certbot.issue(shop.settings, "web", ["web.test"], shop.folder)
    assert sentence in str(found.value)


@pytest.mark.slow
async def test_a_certbot_that_hangs_is_ended_with_all_that_it_started(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certbot, "LIMIT_S", 0.5)
    shop.certbot(f"(sleep 1; touch {shop.folder}/late) & wait")
    with pytest.raises(CertificateError, match="did not end within"):
        await certbot.issue(shop.settings, "web", ["web.test"], shop.folder)
    await asyncio.sleep(1)
    assert not (shop.folder / "late").exists()


@pytest.mark.parametrize(
    ("printed", "said"),
    [("certbot 2.1.0", "2.1"), ("certbot 0.31.0", "0.31 is too old"), ("Traceback", "does not tell its version")],
)
async def test_the_version_of_certbot_is_looked_at(shop: Workshop, printed: str, said: str) -> None:
    shop.certbot(f"echo '{printed}'")
    try:
        assert await certbot.version(shop.settings) == said
    except CertificateError as trouble:
        assert said in trouble.message and "nstall" in trouble.next_step
