"""Seals environment values for the database: AES-256-GCM, bound to their row, several keys while one is rotated."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bot.errors import O8Error, SettingsError

if TYPE_CHECKING:  # 6 MB, which an o8 without environments does not carry about
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_FILE = "secret.key"
RETIRED_FILE = "secret.key.retired"
_KEY_ID_BYTES = 4
_NONCE_BYTES = 12  # NIST SP 800-38D, 5.2.1.1: 96 bits


class Sealed(O8Error):
    """A value cannot be opened: the key is missing or the row was changed."""

    code = "sealed"


class Vault:
    """Seals with the first key, opens with any. Keys are 32 bytes in hexadecimal, comma-separated."""

    def __init__(self, keys: str) -> None:
        """Raises `SettingsError` when a key is not 64 hexadecimal digits."""
        raw = _read(keys)
        self._keys = {_key_id(key): key for key in raw}
        self._current = _key_id(raw[0])
        self._fingerprint_key = hashlib.sha256(b"fingerprint" + raw[0]).digest()

    def adopt(self, keys: str) -> None:
        """From now on the first of `keys` seals. What opened before goes on opening: somebody may hold such a text."""
        raw = _read(keys)
        self._keys = {_key_id(key): key for key in raw} | self._keys
        self._current = _key_id(raw[0])

    def seal(self, plain: str, row: str) -> bytes:
        """Key id, nonce and ciphertext of `plain`; opening asks for the same `row`, such as `environment/web/3`."""
        current, nonce = self._current, secrets.token_bytes(_NONCE_BYTES)
        return current + nonce + _cipher(self._keys[current]).encrypt(nonce, plain.encode(), row.encode())

    def is_current(self, sealed: bytes) -> bool:
        """Whether it was sealed with the key that seals now."""
        return sealed[:_KEY_ID_BYTES] == self._current

    def fingerprint(self, text: bytes) -> str:
        """Tells whether two texts are the same, and says nothing about them to who has no key."""
        return hashlib.blake2b(text, key=self._fingerprint_key, digest_size=32).hexdigest()

    def open(self, sealed: bytes, row: str) -> str:
        """What was sealed for `row`; raises `Sealed` when the key is unknown or anything was changed."""
        from cryptography.exceptions import InvalidTag

        key = self._keys.get(sealed[:_KEY_ID_BYTES])
        nonce, text = sealed[_KEY_ID_BYTES:][:_NONCE_BYTES], sealed[_KEY_ID_BYTES + _NONCE_BYTES :]
        try:
            if key:
                return _cipher(key).decrypt(nonce, text, row.encode()).decode()
        except (InvalidTag, ValueError):  # ValueError: cut off within the nonce
            raise Sealed(f"{row} was changed outside o8 and cannot be opened.", "Restore it from a backup.") from None
        raise Sealed(f"The key that sealed {row} is not in O8_SECRET_KEY.", "Add the old key after the new one.")


def key_in(folder: Path) -> str:
    """The keys kept in `folder`, made on first use with mode 0600. One process at a time: the database's lock.

    More than one while a rotation is under way: the new one first, as `Vault` takes them.
    """
    path = folder / KEY_FILE
    if not path.exists():
        keep(folder, [new_key()])
    return path.read_text().strip()


def new_key() -> str:
    return secrets.token_hex(32)


def split(keys: str) -> list[str]:
    return [key.strip() for key in keys.split(",") if key.strip()]


def keep(folder: Path, keys: Sequence[str]) -> None:
    """`folder` keeps `keys`, the one that seals first; whole or not at all: a kill must not leave half a key."""
    _write(folder, KEY_FILE, ",".join(keys))


def retire(folder: Path, keys: Sequence[str]) -> None:
    """Adds to the keys that only old backups need."""
    _write(folder, RETIRED_FILE, ",".join(dict.fromkeys([*keys, *retired(folder)])))


def retired(folder: Path) -> list[str]:
    path = folder / RETIRED_FILE
    return split(path.read_text()) if path.exists() else []


def _write(folder: Path, name: str, text: str) -> None:
    draft = folder / f"{name}.new"
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    draft.rename(folder / name)
    _sync(folder)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(keys: str) -> list[bytes]:
    try:
        raw = [bytes.fromhex(part.strip()) for part in keys.split(",")]
    except ValueError:
        raw = [b""]
    if any(len(key) != 32 for key in raw):
        raise SettingsError(["O8_SECRET_KEY = (hidden): each key must be 64 hexadecimal digits"])
    return raw


def _cipher(key: bytes) -> AESGCM:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(key)


def _key_id(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()[:_KEY_ID_BYTES]
