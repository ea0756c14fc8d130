"""What stands in examples/ works as it is written."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest

from bot.configuration import read_toml
from bot.nginx import program
from lab import github
from lab.house import House

EXAMPLES = Path(__file__).parents[2] / "examples"

pytestmark = pytest.mark.parts


@pytest.mark.parametrize("file", sorted((EXAMPLES / "services").glob("*.toml")), ids=lambda file: file.name)
def test_service_files_can_be_read(file: Path) -> None:
    assert read_toml(file.read_text()).name == file.stem


async def test_a_large_delivery_comes_in_through_the_nginx_example(home: House) -> None:
    nginx = home.data / "nginx"
    (nginx / "sites/o8.conf").write_text(_on_this_machine(home))
    outcome = await program.run("nginx", "-e", "stderr", "-c", str(nginx / "nginx.conf"), "-s", "reload")
    assert outcome.code == 0, outcome.output
    body = github.push("ghcr.io/acme/large") | {"padding": "." * 2_000_000}  # above nginx's own default of 1 MB
    url = f"http://127.0.0.1:{home.http_port}/webhooks/github"

    async def answer() -> github.Answer | None:
        with suppress(aiohttp.ClientError):  # unknown names get no answer, until the reload is through
            return await github.deliver(url, home.secret, body, change={"Host": "o8.example.org"})
        return None

    found = await home.until(answer, 10)
    assert found.status == 200 and "no service uses" in found.body["ignored"][0]


def _on_this_machine(home: House) -> str:
    """The example with the ports of `home`, and without the certificate that nobody has here."""
    lines = (EXAMPLES / "nginx/o8.conf").read_text().splitlines(keepends=True)
    text = "".join(line for line in lines if "ssl_certificate" not in line)
    changed = text.replace("listen 443 ssl", f"listen 127.0.0.1:{home.http_port}").replace(":8080", f":{home.port}")
    assert changed.count(f":{home.http_port};") == 1
    assert changed.count(f":{home.port};") == 3
    return changed
