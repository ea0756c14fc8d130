"""Certificates as they lie on the disk: which pair is taken, what cannot be used, for which names."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bot import pem
from bot.configuration import Configuration
from bot.errors import CertificateError
from bot.pem import Standing
from bot.settings import Settings
from lab.certificates import identity, keep
from tests.store.ledger import configuration


def with_site(**site: Any) -> Configuration:
    return configuration("web", site=site)


def test_between_two_links_of_a_renewal_the_pair_still_belongs_together(tmp_path: Path) -> None:
    """certbot moves `privkey.pem` before `fullchain.pem`."""
    first, second = identity("web.test", quick=True), identity("web.test", quick=True)
    keep(tmp_path, "web", first)
    before = pem.read(tmp_path, "web")
    keep(tmp_path, "web", second)
    chain = tmp_path / "live/web/fullchain.pem"
    chain.unlink()
    chain.symlink_to("../../archive/web/fullchain1.pem")
    assert pem.read(tmp_path, "web") == before
    assert before and before.key and before.key.read_bytes() == first.key_pem


def test_a_renewed_certificate_has_another_path_so_that_an_old_text_still_serves(tmp_path: Path) -> None:
    keep(tmp_path, "web", identity("web.test", quick=True))
    before = pem.read(tmp_path, "web")
    keep(tmp_path, "web", identity("web.test", quick=True))
    after = pem.read(tmp_path, "web")
    assert before and after and before.chain != after.chain and before.serial != after.serial
    assert before.chain.exists()


def test_a_key_of_another_certificate_is_found_out(tmp_path: Path) -> None:
    keep(tmp_path, "web", identity("web.test", quick=True))
    (tmp_path / "archive/web/privkey1.pem").write_bytes(identity("web.test", quick=True).key_pem)
    with pytest.raises(CertificateError, match="its key is another one's"):
        pem.read(tmp_path, "web")


def test_nothing_there_is_no_fault(tmp_path: Path) -> None:
    assert pem.read(tmp_path, "web") is None
    (tmp_path / "live/web").mkdir(parents=True)
    (tmp_path / "live/web/fullchain.pem").symlink_to("nowhere.pem")
    assert pem.read(tmp_path, "web") is None


@pytest.mark.parametrize("path", ["/dev/zero", "/proc/self/mem", "/etc", "/etc/hostname", "/no/such/file"])
def test_a_service_file_may_name_any_path(path: str) -> None:
    """It is a stranger's word, perhaps: it must not stop o8, nor fill its memory."""
    with pytest.raises(CertificateError, match="The certificate of web cannot be read: "):
        pem.served(with_site(tls="certificate", certificate=path, key=path), Settings())


@pytest.mark.parametrize(
    ("line", "is_found"),
    [
        ("ssl_certificate {path};", True), ('  ssl_certificate "{path}" ;', True), ("# ssl_certificate {path};", False),
        ("ssl_certificate_key {path};", False), ("ssl_certificate relative.pem;", False), ("", False),
    ],
)  # fmt: skip
def test_a_snippet_says_where_its_certificate_is(tmp_path: Path, line: str, is_found: bool) -> None:
    (tmp_path / "chain.pem").write_bytes(identity("web.test", quick=True).certificate_pem)
    snippet = tmp_path / "tls.conf"
    snippet.write_text(f"ssl_protocols TLSv1.3;\n{line.format(path=tmp_path / 'chain.pem')}\n")
    found = pem.served(with_site(tls="snippet"), Settings(nginx_snippet=str(snippet)))
    assert (found is not None) == is_found


def test_a_wildcard_covers_one_label() -> None:
    names = frozenset({"web.test", "*.apps.test"})
    now = datetime.now(UTC)
    found = pem.Certificate(Path(), None, names, "1", now, now)
    assert [name for name in ("web.test", "a.apps.test", "*.apps.test") if found.covers(name)] == [
        "web.test", "a.apps.test", "*.apps.test",
    ]  # fmt: skip
    assert [name for name in ("www.web.test", "apps.test", "a.b.apps.test", "*.web.test") if found.covers(name)] == []


@pytest.mark.parametrize(
    ("left", "life", "trouble", "level"),
    [
        (40, 90, "", ""), (20, 90, "refused", ""), (13.9, 90, "", "ending"), (13.9, 90, "refused", "ending"),
        (-0.1, 90, "", "over"), (2, 6, "", ""), (0.5, 6, "", "ending"), (300, 3650, "", ""), (13.9, 3650, "", "ending"),
    ],
)  # fmt: skip
def test_how_bad_it_is(left: float, life: float, trouble: str, level: str) -> None:
    end = datetime.now(UTC) + timedelta(days=left)
    found = pem.Certificate(Path(), None, frozenset({"web.test"}), "1", end - timedelta(days=life), end)
    assert Standing("web", "auto", ("web.test",), found, trouble).level() == level


def test_what_is_not_o8s_and_cannot_be_read_is_not_called_missing() -> None:
    assert Standing("web", "snippet", ("web.test",), None, "cannot be read").level() == ""
    assert Standing("web", "auto", ("web.test",), None, "refused").level() == "missing"
    assert Standing("web", "auto", ("web.test",), None).level() == ""  # it has just begun
