"""certbot under examples/orchestr8.service: what closes the unit must not hinder a renewal, two months later."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import pytest

from bot import pem
from bot.certificates import certbot
from bot.errors import CertificateError
from bot.settings import Settings
from lab.acme import authority
from lab.closed import refused

pytestmark = pytest.mark.parts
UNIT = Path(__file__).parents[2] / "examples/orchestr8.service"
ALLOWED = "SystemCallFilter=@chown\n"


class Place(NamedTuple):
    settings: Settings
    webroot: Path

    def under(self, unit: Path) -> Settings:
        command = f"{sys.executable} {UNIT.parents[1]}/lab/closed.py {unit} certbot --no-verify-ssl"
        return self.settings.model_copy(update={"certbot_command": command})


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    webroot = tmp_path / "web"
    webroot.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(webroot)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with authority(server.server_port) as pebble:
        yield Place(Settings(o8_data_dir=tmp_path / "data", acme_server=pebble.directory), webroot)
    server.shutdown()


async def test_a_certificate_comes_and_is_renewed(place: Place, tmp_path: Path) -> None:
    seen = set()
    for _ in range(2):
        await certbot.issue(place.under(UNIT), "web", ["web.example.org"], place.webroot)
        found = pem.read(place.settings.certificates_dir, "web")
        assert found is not None
        seen.add(found.serial)
    assert len(seen) == 2
    strict = tmp_path / "strict.service"  # the control: as the unit was, every renewal failed
    strict.write_text(UNIT.read_text().replace(ALLOWED, ""))
    with pytest.raises(CertificateError, match="Operation not permitted"):
        await certbot.issue(place.under(strict), "web", ["web.example.org"], place.webroot)


def test_the_last_word_on_a_call_counts() -> None:
    text = UNIT.read_text()
    assert ALLOWED in text and refused(text) == []
    assert refused(text.replace(ALLOWED, ""))
    assert refused(text.replace(ALLOWED, f"{ALLOWED}SystemCallFilter=~@mount @chown\n"))
