"""Services with `tls = "auto"` that serve, and a certbot that does what a test prepared. The store is real."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bot import pem
from bot.certificates import Certificates, Standings
from bot.pem import Standing
from bot.settings import Settings
from bot.store import Store
from lab.certificates import identity, keep
from tests.fakes import FakeNginx
from tests.store.ledger import Ledger

USUAL: dict[str, Any] = {"days_left": 89.0, "days_of_life": 90.0, "quick": True}
FAILS = """\
Certbot failed to authenticate some domains (authenticator: webroot). The Certificate Authority reported these problems:
  Domain: {name}
  Type:   connection
  Detail: 203.0.113.1: Fetching http://{name}/.well-known/acme-challenge/x: Connection refused
"""


class Workshop:
    def __init__(self, store: Store, folder: Path) -> None:
        self.store = store
        self.folder = folder
        self.ledger = Ledger(store)
        self.log = folder / "asked"
        self.noticed = 0
        self.settings = Settings(o8_data_dir=folder / "data", certbot_command=str(folder / "certbot"))
        self.nginx: Any = FakeNginx()
        self.begin()

    def begin(self, **settings: Any) -> None:
        """As after a start of o8 with other settings."""
        self.settings = self.settings.model_copy(update=settings)
        self.certificates = Certificates(self.settings, self.store, self.nginx, self._notice)

    async def serves(self, name: str = "web", domains: Sequence[str] = ("web.test",), **site: Any) -> None:
        """`name` is released with this site."""
        await self.ledger.service(name, domains=tuple(domains), site={"tls": "auto"} | site)
        await self.ledger.release("0001", service=name)

    def certbot(self, *lines: str) -> None:
        """A shell script; it notes its arguments and what it sees of the environment first."""
        text = "\n".join(("#!/bin/sh", f'echo "$@" >> {self.log}', f"env > {self.folder}/environment", *lines))
        (self.folder / "certbot").write_text(f"{text}\n")
        (self.folder / "certbot").chmod(0o755)

    def will_give(self, service: str, *names: str, **more: Any) -> None:
        """certbot moves a prepared certificate to its place."""
        prepared = self.folder / f"prepared-{len(list(self.folder.glob('prepared-*')))}"
        keep(prepared, service, identity(*names, **USUAL | more))
        self.certbot(f"mkdir -p {self.settings.certificates_dir}",
                     f"rm -rf {self.settings.certificates_dir}/live {self.settings.certificates_dir}/archive",
                     f"cp -a {prepared}/live {prepared}/archive {self.settings.certificates_dir}")  # fmt: skip

    def will_fail(self, text: str, code: int = 1) -> None:
        (self.folder / "said").write_text(text)
        self.certbot(f"cat {self.folder}/said", f"exit {code}")

    def has(self, *names: str, service: str = "web", **more: Any) -> None:
        """There is a certificate already."""
        keep(
            self.settings.certificates_dir,
            service,
            identity(*names, **USUAL | more),
        )

    def asked(self) -> list[list[str]]:
        """The names of each time that certbot was asked."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [[word for before, word in zip(line.split(), line.split()[1:], strict=False) if before == "--domain"]
                for line in lines]  # fmt: skip

    def served(self) -> pem.Certificate | None:
        return pem.read(self.settings.certificates_dir, "web")

    async def standing(self) -> Standing:
        (found,) = await Standings(self.settings, self.store).all()
        return found

    async def time_passes(self, **of: float) -> None:
        """The last failure was longer ago."""
        at = (datetime.now(UTC) - timedelta(**of)).isoformat()
        await self.store.write(lambda db: db.execute("UPDATE certificate_failures SET failed_at = ?", [at]))

    def environment(self) -> str:
        return (self.folder / "environment").read_text()

    def _notice(self) -> None:
        self.noticed += 1
