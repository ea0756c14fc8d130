"""examples/nginx/cloudflare.conf, in an nginx that has an address of Cloudflare's in a network of its own."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path

import pytest

from bot.models import Address
from bot.nginx import Nginx
from bot.settings import Settings
from tests.nginx.conftest import configuration

pytestmark = pytest.mark.parts
EXAMPLE = Path(__file__).parents[2] / "examples/nginx/cloudflare.conf"
CLOUDFLARE, STRANGER, VISITOR = "172.64.1.2", "198.51.100.7", "203.0.113.9"
NETWORKS = re.findall(r"^set_real_ip_from (\S+);$", EXAMPLE.read_text(), re.MULTILINE)
MAIN = """\
daemon on; pid {home}/nginx.pid; error_log {home}/error.log;
events {{ }}
http {{
    access_log off;
    server {{
        listen 127.0.0.1:9000;
        location / {{ return 200 "$http_x_real_ip $http_x_forwarded_for"; }}
    }}
    {include}
    include {home}/site.conf;
}}
"""


def seen(home: Path, sender: str, *, site: Mapping[str, object], include: bool = True) -> str:
    """What a service is told of a visitor whom `sender` names in CF-Connecting-IP, in a network without the world."""
    settings = Settings(o8_data_dir=home / "data", nginx_listen="127.0.0.1", nginx_http_port=8000)
    there = [Address("127.0.0.1", 9000)]
    text = Nginx(settings).render(configuration(site=site), {"a": there, "b": there})
    shared = "map $http_upgrade $o8_connection { default upgrade; }\nmap $http_host $o8_port { default ''; }\n"
    (home / "site.conf").write_text(shared + text)
    (home / "nginx.conf").write_text(MAIN.format(home=home, include=f"include {EXAMPLE};" if include else ""))
    nginx = f"{shutil.which('nginx', path='/usr/sbin:/usr/bin')} -c {home}/nginx.conf"
    ask = (f"curl --silent --interface {sender} -H 'Host: web.test' -H 'CF-Connecting-IP: {VISITOR}'"
           f" -H 'X-Forwarded-For: 192.0.2.1' http://127.0.0.1:8000/")  # fmt: skip
    script = f"ip link set lo up; ip addr add {sender}/32 dev lo; {nginx} -t -q; {nginx}; {ask}; {nginx} -s stop"
    done = subprocess.run(["unshare", "--net", "sh", "-ec", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_cloudflare_names_the_visitor_and_nobody_else_does(tmp_path: Path) -> None:
    assert seen(tmp_path, CLOUDFLARE, site={}) == f"{VISITOR} {VISITOR}"
    assert seen(tmp_path, STRANGER, site={}) == f"{STRANGER} {STRANGER}"


def test_the_same_for_one_service_by_its_file(tmp_path: Path) -> None:
    site = {"trusted_proxies": NETWORKS, "client_address_header": "CF-Connecting-IP"}
    assert seen(tmp_path, CLOUDFLARE, site=site, include=False) == f"{VISITOR} {VISITOR}"
    assert seen(tmp_path, STRANGER, site=site, include=False) == f"{STRANGER} {STRANGER}"


def test_every_network_of_the_example_is_one_of_its_own() -> None:
    networks = [ip_network(each) for each in NETWORKS]
    assert len(networks) == 22
    assert not [(a, b) for a in networks for b in networks if a is not b and a.version == b.version and a.overlaps(b)]
