"""A certificate on disk: where it is, for which names, until when. certbot keeps them as it does everywhere."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from cryptography import x509

from bot.errors import CertificateError


class Certificate(NamedTuple):
    """`serial` in hexadecimal: another one after each renewal."""

    chain: Path
    key: Path
    names: frozenset[str]
    serial: str
    begins: datetime
    ends: datetime


def place(folder: Path, service: str) -> tuple[Path, Path]:
    """Chain and key of a service; they may not be there yet."""
    live = folder / "live" / service
    return live / "fullchain.pem", live / "privkey.pem"


def read(folder: Path, service: str) -> Certificate | None:
    """None when there is none. Raises `CertificateError` when what is there cannot be used."""
    chain, key = place(folder, service)
    try:
        found = x509.load_pem_x509_certificate(chain.read_bytes())
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        if not key.exists():
            raise ValueError("its key is missing")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, x509.ExtensionNotFound) as error:
        raise CertificateError(f"The certificate of {service} at {chain} cannot be used: {error}.") from None
    return Certificate(
        chain, key, frozenset(names.get_values_for_type(x509.DNSName)), f"{found.serial_number:x}",
        found.not_valid_before_utc, found.not_valid_after_utc,
    )  # fmt: skip
