"""Certificates on disk: where they are, for which names, until when. certbot keeps those of `tls = "auto"`.

certbot writes a renewed pair beside the one before (`archive/web/fullchain2.pem`, `privkey2.pem`) and then moves the
links in `live/web` to it, one after the other. What is read here is the pair that the last of these links names, by its
real path: chain and key belong together at every moment, and a site's text names files that never change.
"""

from __future__ import annotations

import re
import stat
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

from bot.configuration import Configuration
from bot.errors import CertificateError
from bot.settings import Settings

URGENT = timedelta(days=14)  # before the end, people are told
LARGEST = 1 << 20  # bytes
_OF_LIFE = 14 / 90  # of a certificate that lives shorter than the usual 90 days
_CHAIN = re.compile(r"fullchain(\d*)\.pem")  # as certbot numbers them
_IN_SNIPPET = re.compile(r"^\s*ssl_certificate\s+([\"']?)(/[^\s;\"']+)\1\s*;", re.MULTILINE)
Source = Literal["off", "auto", "snippet", "certificate"]
Level = Literal["", "missing", "ending", "over"]


class Certificate(NamedTuple):
    """`serial` in hexadecimal: another one after each renewal. `key` None: it is not ours to read."""

    chain: Path
    key: Path | None
    names: frozenset[str]
    serial: str
    begins: datetime
    ends: datetime

    def covers(self, name: str) -> bool:
        """A wildcard stands for one label: https://www.rfc-editor.org/rfc/rfc9525#section-6.3."""
        return name in self.names or f"*.{name.partition('.')[2]}" in self.names

    @property
    def urgent_from(self) -> datetime:
        """From then on somebody has to look."""
        return self.ends - min(URGENT, (self.ends - self.begins) * _OF_LIFE)


class Standing(NamedTuple):
    """How it is with the certificate of a service that serves. `names`: what visitors may ask for.

    `trouble`: why there is no (new) one, or why it cannot be read; empty when all is well.
    """

    service: str
    source: Source
    names: tuple[str, ...]
    certificate: Certificate | None
    trouble: str = ""

    def level(self, now: datetime | None = None) -> Level:
        """How bad it is. What is not o8's and cannot be read here is not bad."""
        now, found = now or datetime.now(UTC), self.certificate
        if found and found.ends <= now:
            return "over"
        if found and found.urgent_from <= now:
            return "ending"
        lacks = found is None or not all(map(found.covers, self.names))
        return "missing" if lacks and self.trouble and self.source == "auto" else ""


def read(folder: Path, service: str) -> Certificate | None:
    """What certbot has for a service below `folder`; None when there is none.

    Raises `CertificateError` when what is there cannot be used; `is_transient` when it cannot be read just now.
    """
    live = folder / "live" / service
    try:
        chain = (live / "fullchain.pem").resolve(strict=True)
        number = _CHAIN.fullmatch(chain.name)
        key = chain.with_name(f"privkey{number[1]}.pem") if number else (live / "privkey.pem").resolve()
        return _look(chain, key)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        trouble = CertificateError(f"The certificate of {service} in {live} cannot be used: {_why(error)}.")
        trouble.is_transient = isinstance(error, OSError)
        raise trouble from None


def served(configuration: Configuration, settings: Settings) -> Certificate | None:
    """The certificate that the site shows, from wherever; None when there is none, or it cannot be told which.

    Raises `CertificateError` when it cannot be read.
    """
    site = configuration.site
    if site.tls == "auto":
        return read(settings.certificates_dir, configuration.name)
    try:
        if site.tls == "certificate":
            return _look(Path(site.certificate), None)
        if site.tls == "snippet" and settings.nginx_snippet:
            named = _IN_SNIPPET.search(Path(settings.nginx_snippet).read_text())
            return _look(Path(named[2]), None) if named else None
    except (OSError, ValueError) as error:
        raise CertificateError(f"The certificate of {configuration.name} cannot be read: {_why(error)}.") from None
    return None


def _look(chain: Path, key: Path | None) -> Certificate:
    found = [path.stat() for path in (chain, key) if path]
    if not all(stat.S_ISREG(each.st_mode) and each.st_size <= LARGEST for each in found):
        raise ValueError("it is no file of a certificate")  # a service file may name any path, such as /dev/zero
    return _read(chain, key, tuple((each.st_mtime_ns, each.st_ino, each.st_size) for each in found))


@lru_cache(maxsize=1024)  # sites are rendered again with every look at what should be
def _read(chain: Path, key: Path | None, state: tuple[tuple[int, int, int], ...]) -> Certificate:
    """`state`: of the files, so that changed ones are read again."""
    from cryptography import x509  # takes 8 MB, and where TLS is others' there is nothing to read
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

    found = x509.load_pem_x509_certificate(chain.read_bytes())
    try:
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        raise ValueError("it has no host names") from None
    if key:
        # nginx refuses a wrong pair, and with it every change of any site. Checking an RSA key's numbers takes 50 ms.
        pair = load_pem_private_key(key.read_bytes(), None, unsafe_skip_rsa_key_validation=True).public_key()
        form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        if pair.public_bytes(*form) != found.public_key().public_bytes(*form):
            raise ValueError("its key is another one's")
    return Certificate(
        chain, key, frozenset(names.get_values_for_type(x509.DNSName)), f"{found.serial_number:x}",
        found.not_valid_before_utc, found.not_valid_after_utc,
    )  # fmt: skip


def _why(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}"
    return str(error) or "it is no PEM"
