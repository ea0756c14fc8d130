"""Takes a backup apart, believes nothing in it before it is checked, and puts it into the folder of an o8 at rest."""

from __future__ import annotations

import gzip
import os
import re
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import ValidationError

from bot import vault as keys
from bot.errors import Conflict, InvalidInput, O8Error, SettingsError, StoreUnavailable
from bot.safekeeping.backup import DATABASE, FORMAT, MANIFEST, Manifest, described, remove_left_over
from bot.store import copies
from bot.store.copies import Examined
from bot.vault import Sealed, Vault
from bot.worker import environment_row

Fault = Literal["audit", "values"]
_PIECE = 1024 * 1024  # bytes
LARGEST_MANIFEST = 16 * 1024 * 1024
_DRAFT = ".restore-"
_NAME = re.compile(r"o8\.sqlite|settings\.env|secret\.key|services/[a-z0-9-]+\.toml")


class Damaged(O8Error):
    """The backup is not what was made; nothing was changed."""

    code = "damaged_backup"


class Restored(NamedTuple):
    """`aside`: where the database before is; None when there was none. `services`: names in the backup."""

    made_at: str
    services: tuple[str, ...]
    aside: Path | None


def restore(
    archive: Path, folder: Path, actor: str, *, settings_keys: Sequence[str] = (), more_keys: Sequence[str] = (),
    is_forced: bool = False, accepted: Collection[Fault] = (),
) -> Restored:  # fmt: skip
    """`folder` as it was when `archive` was made. `settings_keys`: those of O8_SECRET_KEY; `more_keys`: to try as well.

    `is_forced`: although there is a database; it is kept beside. `accepted`: `audit`: although its chain is broken;
    `values`: although some environment values cannot be opened with any key at hand.
    Raises `AlreadyRunning`, `Damaged`, `Conflict`, `InvalidInput`, `StoreUnavailable`; then nothing was changed.
    """
    database = folder / DATABASE
    with _reporting():
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with copies.held(database), _workplace(folder) as home:
            if database.exists() and not is_forced:
                raise Conflict(f"There is a database in {folder}.", "`--force` replaces it, and keeps it beside.")
            manifest = _unpack(archive, home)
            examined = copies.examine(home / DATABASE)
            _require_sound(examined, accepted)
            needed = _needed(examined, _found_keys(home, folder, [*settings_keys, *more_keys]), accepted)
            if settings_keys:
                _require_in_settings(needed, settings_keys)
            aside = _free(database.with_name(f"{DATABASE}.before-restore-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"))
            had_one = database.exists()
            with nullcontext() if settings_keys else _keys_around(folder, needed):
                copies.put_in_place(home / DATABASE, database, aside, actor, manifest.made_at)
        _belongs_to_owner_of(folder)
    names = sorted(Path(name).stem for name in manifest.files if name.startswith("services/"))
    return Restored(manifest.made_at, tuple(names), aside if had_one else None)


def check(archive: Path) -> Manifest:
    """What a backup holds, after every byte of it was compared with its manifest; raises `Damaged`."""
    with _reporting(), tempfile.TemporaryDirectory(prefix=_DRAFT, dir=archive.parent) as name:
        return _unpack(archive, Path(name))


def _unpack(archive: Path, home: Path) -> Manifest:
    """Only files that the manifest names, with the digests that it names, below `home`."""
    try:
        with gzip.open(archive) as content, tarfile.open(fileobj=content, mode="r:") as tar:
            first = tar.next()
            if first is None or first.name != MANIFEST or first.size > LARGEST_MANIFEST:
                raise Damaged(f"{archive} is no backup of o8.")
            manifest = Manifest.model_validate_json(_read(tar, first))
            if manifest.format != FORMAT:
                raise Damaged(f"{archive} was made by o8 {manifest.o8}, in a form that this o8 does not know.",
                              "Take that version, or a newer one.")  # fmt: skip
            while member := tar.next():
                _take(tar, member, manifest, home)
            while content.read(_PIECE):  # to its end, where gzip's own sum is: it covers the manifest
                pass
    except (tarfile.TarError, EOFError, zlib.error, ValidationError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise Damaged(f"{archive} is damaged: it does not end, or holds something else.") from error
    missing = [name for name, content in manifest.files.items()
               if not (home / name).is_file() or described(home / name) != content]  # fmt: skip
    if missing or DATABASE not in manifest.files:
        raise Damaged(f"{archive} is damaged: {', '.join(missing) or DATABASE} is not what was put into it.")
    return manifest


def _take(tar: tarfile.TarFile, member: tarfile.TarInfo, manifest: Manifest, home: Path) -> None:
    known = manifest.files.get(member.name)
    if known is None or not member.isreg() or member.size != known.bytes or not _NAME.fullmatch(member.name):
        raise Damaged(f"The backup holds {member.name!r:.80}, which does not belong there.")
    path = home / member.name
    path.parent.mkdir(exist_ok=True)
    source = tar.extractfile(member)
    assert source is not None  # noqa: S101 - a regular file has a content
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as target:
        shutil.copyfileobj(source, target)


def _read(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    source = tar.extractfile(member)
    if source is None:
        raise Damaged("The backup begins with something else than its manifest.")
    return source.read()


def _require_sound(examined: Examined, accepted: Collection[Fault]) -> None:
    if examined.damage:
        raise Damaged(f"The database in it is damaged: {'; '.join(examined.damage)}.", "Take an older backup.")
    if examined.unknown:
        raise Conflict(
            f"The backup was made by a newer o8: this one does not know {', '.join(examined.unknown)}.",
            "Install that version, or a newer one, then try again.",
        )
    if not examined.schema:
        raise Damaged("The database in it is not o8's.")
    if examined.audit_broken_from and "audit" not in accepted:
        raise Damaged(
            f"Its audit was edited: the chain is broken from entry {examined.audit_broken_from} on.",
            "Take an older backup, or `--accept audit` to restore it as it is.",
        )


def _found_keys(home: Path, folder: Path, more_keys: Sequence[str]) -> list[str]:
    """Every key at hand, those that are meant for sealing first."""
    own = folder / keys.KEY_FILE
    packed = home / keys.KEY_FILE
    texts = [path.read_text() for path in (packed, own) if path.is_file()]
    found = [*more_keys, *(key for text in texts for key in keys.split(text)), *keys.retired(folder)]
    return list(dict.fromkeys(found))


def _needed(examined: Examined, found: list[str], accepted: Collection[Fault]) -> list[str]:
    """Those of `found` that the values need; the first where they need none. Raises `Conflict`."""
    vaults = {key: Vault(key) for key in found}
    needed, closed = dict[str, None](), set[str]()
    for row in examined.sealed:
        place = environment_row(row.service, row.revision)
        key = next((key for key, vault in vaults.items() if _opens(vault, row.sealed, place)), None)
        if key is None:
            closed.add(row.service)
        else:
            needed[key] = None
    if closed and "values" not in accepted:
        raise Conflict(
            f"No key at hand opens the environment values of {', '.join(sorted(closed))}.",
            "Name the file of the right one with `--key-file`, or `--accept values` and set them again afterwards.",
        )
    return [key for key in found if key in needed] or found[:1]


def _opens(vault: Vault, sealed: bytes, place: str) -> bool:
    try:
        vault.open(sealed, place)
    except Sealed:
        return False
    return True


def _require_in_settings(needed: list[str], settings_keys: Sequence[str]) -> None:
    if set(needed) - set(settings_keys):
        raise Conflict(
            "Some environment values need a key that is not in O8_SECRET_KEY.",
            "Add it there behind the first one, then try again; `o8 rotate-key` makes it needless afterwards.",
        )


@contextmanager
def _keys_around(folder: Path, needed: list[str]) -> Iterator[None]:
    """All keys while the database changes, so that a kill leaves none without its own; then those that are needed."""
    path = folder / keys.KEY_FILE
    own = keys.split(path.read_text()) if path.exists() else []
    both = list(dict.fromkeys([*needed, *own]))
    if both != own:
        keys.keep(folder, both)
    yield
    if both != needed:
        keys.retire(folder, [key for key in both if key not in needed])
        keys.keep(folder, needed)


@contextmanager
def _workplace(folder: Path) -> Iterator[Path]:
    remove_left_over(folder, _DRAFT)
    with tempfile.TemporaryDirectory(prefix=_DRAFT, dir=folder) as name:
        yield Path(name)


def _free(path: Path) -> Path:
    number = 1
    while path.exists():
        number += 1
        path = path.with_name(f"{path.name.partition('Z')[0]}Z-{number}")
    return path


def _belongs_to_owner_of(folder: Path) -> None:
    """What root restores must be readable for the user that runs o8."""
    if os.geteuid() == 0:
        owner = folder.stat()
        for path in folder.iterdir():
            if path.is_file() and not path.is_symlink():
                os.chown(path, owner.st_uid, owner.st_gid)


@contextmanager
def _reporting() -> Iterator[None]:
    try:
        yield
    except SettingsError as error:
        raise InvalidInput("One of the keys is none.", "A key is 64 hexadecimal digits.") from error
    except OSError as error:
        raise StoreUnavailable(
            f"Nothing was restored: {error.filename or ''} {error.strerror}.".replace("  ", " ")
        ) from error
