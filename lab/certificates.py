"""Keys with self-signed certificates, good for a day unless said otherwise: for TLS servers and for signing tokens."""

from __future__ import annotations

import datetime
import ssl
import tempfile
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID


class Identity(NamedTuple):
    """A key, RSA unless it was to be quick, and its certificate."""

    key_pem: bytes
    certificate_pem: bytes
    certificate_der: bytes

    def server_tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        with tempfile.TemporaryDirectory(prefix="o8-tls-") as folder:  # OpenSSL reads keys from files only
            pair = Path(folder) / "pair.pem"
            pair.write_bytes(self.key_pem + self.certificate_pem)
            context.load_cert_chain(pair)
        return context

    def client_tls(self) -> ssl.SSLContext:
        """Trusts this certificate and no other."""
        return ssl.create_default_context(cadata=self.certificate_pem.decode())


def identity(
    name: str, *more: str, days_left: float = 1, days_of_life: float | None = None, quick: bool = False
) -> Identity:
    """A new one for the host `name` and `more`; it began a day ago, or its life before it ends."""
    key = ec.generate_private_key(ec.SECP256R1()) if quick else rsa.generate_private_key(65537, key_size=2048)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    end = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days_left)
    life = datetime.timedelta(days=days_left + 1 if days_of_life is None else days_of_life)
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(end - life)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(each) for each in (name, *more)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Identity(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
        certificate.public_bytes(serialization.Encoding.PEM),
        certificate.public_bytes(serialization.Encoding.DER),
    )


def keep(folder: Path, service: str, found: Identity) -> None:
    """Puts it where certbot would, as the newest of `service`."""
    archive, live = folder / "archive" / service, folder / "live" / service
    archive.mkdir(parents=True, exist_ok=True)
    live.mkdir(parents=True, exist_ok=True)
    number = len(list(archive.glob("fullchain*.pem"))) + 1
    for name, content in (("privkey", found.key_pem), ("fullchain", found.certificate_pem)):
        (archive / f"{name}{number}.pem").write_bytes(content)
        (live / f"{name}.pem").unlink(missing_ok=True)
        (live / f"{name}.pem").symlink_to(Path("../../archive") / service / f"{name}{number}.pem")
