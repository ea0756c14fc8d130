"""A real `docker-registry` (Debian's package) on a free port of 127.0.0.1.

`open_registry` asks for no login, `password_registry` for Basic, `token_registry` for tokens as GHCR does.
Each is a context manager. `lab.push` fills them.
"""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bcrypt
import requests

from bot.engines import Credentials
from lab import token_service
from lab.http_server import serving
from lab.token_service import TokenService

PROGRAM = "docker-registry"
USER, PASSWORD = "acme-bot", "correct-horse-battery-staple"
_WAIT_S = 15
_LISTENING = re.compile(r"listening on (127\.0\.0\.1:\d+)")


@dataclass(frozen=True)
class LabRegistry:
    """A running registry. `address` is `127.0.0.1:port`, to stand before a repository's path."""

    address: str
    authorization: Callable[[str], dict[str, str]]  # repository -> headers with the right to push
    tokens: TokenService | None = None

    @property
    def credentials(self) -> Credentials:
        return Credentials(self.address, USER, PASSWORD)

    def image(self, repository: str) -> str:
        return f"{self.address}/{repository}"


@contextmanager
def open_registry() -> Iterator[LabRegistry]:
    """Anybody may read and push."""
    with tempfile.TemporaryDirectory(prefix="o8-registry-") as folder, _running(Path(folder), {}) as address:
        yield LabRegistry(address, lambda _: {})


@contextmanager
def password_registry() -> Iterator[LabRegistry]:
    """Basic logins: only `USER` with `PASSWORD`."""
    with tempfile.TemporaryDirectory(prefix="o8-registry-") as folder:
        users = Path(folder) / "htpasswd"
        users.write_text(f"{USER}:{bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()}\n")
        auth = {"htpasswd": {"realm": "lab", "path": str(users)}}
        login = requests.Request("GET", "http://127.0.0.1", auth=(USER, PASSWORD)).prepare().headers
        with _running(Path(folder), auth) as address:
            yield LabRegistry(address, lambda _: {"Authorization": login["Authorization"]})


@contextmanager
def token_registry() -> Iterator[LabRegistry]:
    """Bearer tokens from `LabRegistry.tokens`, where rights and lifetimes can be changed."""
    tokens = TokenService({USER: PASSWORD})

    def authorization(repository: str) -> dict[str, str]:
        access = [{"type": "repository", "name": repository, "actions": ["pull", "push"]}]
        return {"Authorization": f"Bearer {tokens.issue(access)}"}

    with (
        tempfile.TemporaryDirectory(prefix="o8-registry-") as folder,
        serving(tokens.application()) as service,
    ):
        certificate = Path(folder) / "tokens.pem"
        token_service.write_certificate(certificate)
        auth = {
            "token": {
                "realm": f"http://{service}/token",
                "service": token_service.SERVICE,
                "issuer": token_service.ISSUER,
                "rootcertbundle": str(certificate),
            }
        }
        with _running(Path(folder), auth) as address:
            yield LabRegistry(address, authorization, tokens)


@contextmanager
def _running(folder: Path, auth: Mapping[str, Any]) -> Iterator[str]:
    """Address of a registry that keeps everything in `folder`."""
    configuration = {
        "version": "0.1",
        "log": {"level": "info", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}, "delete": {"enabled": True}},
        "http": {"addr": "127.0.0.1:0", "secret": "lab"},
        "auth": auth,
    }
    (folder / "config.yml").write_text(json.dumps(configuration))  # YAML understands JSON
    log = folder / "log"
    with log.open("wb") as output:
        command = [PROGRAM, "serve", str(folder / "config.yml")]
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        yield _wait_for_address(process, log)
    finally:
        process.terminate()
        process.wait(_WAIT_S)


def _wait_for_address(process: subprocess.Popen[bytes], log: Path) -> str:
    end = time.monotonic() + _WAIT_S
    while process.poll() is None and time.monotonic() < end:
        # Its socket exists before it writes the line, so the address answers from here on.
        if found := _LISTENING.search(log.read_text()):
            return found[1]
        time.sleep(0.01)
    raise RuntimeError(f"{PROGRAM} does not start:\n{log.read_text()[-2000:]}")
