"""A certificate authority of our own: pebble, with a name server that knows only this machine.

https://github.com/letsencrypt/pebble
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import requests

from lab.certificates import identity
from lab.ports import free_port


class Authority(NamedTuple):
    """`directory` is what ACME clients ask; its TLS certificate is its own. `names`: where its name server is told."""

    directory: str
    management: str
    names: str

    def root(self) -> str:
        """The certificate that signs all others, in PEM; another one for each start."""
        return self._get("/roots/0")

    def intermediate(self) -> str:
        return self._get("/intermediates/0")

    def points_to(self, name: str, address: str) -> None:
        """The name server answers with `address` from now on, instead of this machine."""
        requests.post(f"{self.names}/clear-a", json={"host": f"{name}."}, timeout=5)
        requests.post(f"{self.names}/add-a", json={"host": f"{name}.", "addresses": [address]}, timeout=5)

    def dns_hook(self, path: Path) -> Path:
        """Writes what TLS_DNS_HOOK runs to prove a name to this authority."""
        path.write_text(f"""#!/bin/sh -eu
host="_acme-challenge.$CERTBOT_DOMAIN."
case $1 in
  auth) body="{{\\"host\\": \\"$host\\", \\"value\\": \\"$CERTBOT_VALIDATION\\"}}"; what=set-txt ;;
  cleanup) body="{{\\"host\\": \\"$host\\"}}"; what=clear-txt ;;
esac
curl --silent --show-error --fail --data "$body" {self.names}/$what
""")
        path.chmod(0o755)
        return path

    def _get(self, path: str) -> str:
        with warnings.catch_warnings(action="ignore"):
            return requests.get(self.management + path, verify=False, timeout=5).text  # noqa: S501 its own


@contextmanager
def authority(
    http_port: int, *, life: timedelta = timedelta(days=90), refuses: Sequence[str] = ()
) -> Iterator[Authority]:
    """Looks at every name on this machine, at `http_port`, for the answers to its challenges. `life` of certificates;
    names below `refuses` get none.
    """
    directory, management, names, told = (free_port() for _ in range(4))
    own = identity("localhost")
    with tempfile.TemporaryDirectory(prefix="o8-acme-") as folder:
        place = Path(folder)
        (place / "cert.pem").write_bytes(own.certificate_pem)
        (place / "key.pem").write_bytes(own.key_pem)
        (place / "config.json").write_text(json.dumps({"pebble": {
            "listenAddress": f"127.0.0.1:{directory}", "managementListenAddress": f"127.0.0.1:{management}",
            "certificate": str(place / "cert.pem"), "privateKey": str(place / "key.pem"),
            "httpPort": http_port, "tlsPort": free_port(), "ocspResponderURL": "",
            "externalAccountBindingRequired": False, "domainBlocklist": list(refuses),
            "certificateValidityPeriod": int(life.total_seconds()),
        }}))  # fmt: skip
        programs = [
            [_find("pebble-challtestsrv"), "-defaultIPv4", "127.0.0.1", "-defaultIPv6", "",
             "-dns01", f"127.0.0.1:{names}", "-http01", "", "-https01", "", "-tlsalpn01", "",
             "-management", f"127.0.0.1:{told}"],
            [_find("pebble"), "-config", str(place / "config.json"), "-dnsserver", f"127.0.0.1:{names}"],
        ]  # fmt: skip
        environ = os.environ | {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0"}
        log = (place / "log").open("wb")
        started = [subprocess.Popen(program, env=environ, stdout=log, stderr=log) for program in programs]
        try:
            _wait_for(directory, management, told)
            yield Authority(
                f"https://127.0.0.1:{directory}/dir", f"https://127.0.0.1:{management}", f"http://127.0.0.1:{told}"
            )
        finally:
            for process in started:
                process.kill()
                process.wait()
            log.close()


def _wait_for(*ports: int) -> None:
    deadline = time.monotonic() + 20
    while not all(_answers(port) for port in ports):
        if time.monotonic() > deadline:
            raise TimeoutError("pebble did not start within 20 s")
        time.sleep(0.05)


def _find(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        raise FileNotFoundError(f"{program} is missing: `apt-get install pebble` brings it.")
    return found


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
