"""Backups: one archive with all that o8 knows, made while it runs. `bot.safekeeping.restore` takes it apart again.

manifest.json      what is inside, with a digest of each file
o8.sqlite          the database; environment values as they are there: sealed
services/*.toml    the service files, for people
settings.env       the settings, without secrets
secret.key         only when asked for: who has it can read the environment values
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import shutil
import tarfile
import tempfile
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import orjson
from pydantic import BaseModel, ConfigDict

from bot import environment
from bot import vault as keys
from bot.configuration import as_toml
from bot.errors import Conflict, InvalidInput, StoreUnavailable
from bot.models import Service
from bot.settings import SECRETS, Settings
from bot.store import Store
from bot.version import version

FORMAT = 1
MANIFEST, DATABASE = "manifest.json", "o8.sqlite"
_DRAFT = ".backup-"


class Content(BaseModel):
    """One file of a backup."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bytes: int
    sha256: str


class Manifest(BaseModel):
    model_config = ConfigDict(frozen=True)

    format: int
    made_at: str
    o8: str  # the version that made it
    installation: str
    files: dict[str, Content]


class Backups:
    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._settings = settings
        self._is_under_way = False

    async def make(self, *, with_key: bool = False) -> IO[bytes]:
        """The archive (tar, gzip), open for reading; it has no name and is gone when it is closed.

        Raises `Conflict` while another one is made, `InvalidInput` when there is no key in the data folder to take,
        `StoreUnavailable` when there is no room.
        """
        if self._is_under_way:
            raise Conflict("A backup is being made already.", "Wait until that is done.")
        if with_key and self._settings.o8_secret_key.get_secret_value():
            raise InvalidInput(
                "The key is not in the data folder: O8_SECRET_KEY is set.",
                "Keep a copy of it where the backups are not.",
            )
        self._is_under_way = True
        try:
            services = await self._store.services()
            return await self._pack(services, with_key)
        except OSError as error:
            raise StoreUnavailable(f"The backup cannot be made: {error.strerror}.", "Is there room for it?") from error
        finally:
            self._is_under_way = False

    async def _pack(self, services: Iterable[Service], with_key: bool) -> IO[bytes]:
        folder = self._settings.o8_data_dir
        await asyncio.to_thread(remove_left_over, folder, _DRAFT)
        with tempfile.TemporaryDirectory(prefix=_DRAFT, dir=folder) as name:
            home = Path(name)
            before = self._keys(with_key)
            await self._store.copy_to(home / DATABASE)
            files = {
                "settings.env": settings_text(self._settings).encode(),
                **{f"services/{each.name}.toml": _service_file(each) for each in services},
            }
            if with_key:  # while one is replaced, the copy may need both
                files[keys.KEY_FILE] = ",".join(dict.fromkeys([*self._keys(True), *before])).encode()
            return await asyncio.to_thread(_archive, folder, home / DATABASE, files, self._store.installation)

    def _keys(self, is_wanted: bool) -> list[str]:
        return keys.split(keys.key_in(self._settings.o8_data_dir)) if is_wanted else []


def settings_text(settings: Settings) -> str:
    """A `.env` of what was set; of secrets only that they were."""
    text = f"# Settings of o8 {version()}. Secrets are not in a backup: set them again.\n"
    for name in (name.upper() for name in Settings.model_fields if name in settings.model_fields_set):
        if name in SECRETS:
            text += f"# {name}=\n"
        else:
            text = environment.with_value(text, name, str(getattr(settings, name.lower())))
    return text


def remove_left_over(folder: Path, prefix: str) -> None:
    """What a kill left of a backup or a restore."""
    for left in folder.glob(f"{prefix}*"):
        shutil.rmtree(left, ignore_errors=True)


def _service_file(service: Service) -> bytes:
    return ("\n".join(as_toml(service.configuration)) + "\n").encode()


def _archive(folder: Path, database: Path, files: dict[str, bytes], installation: str) -> IO[bytes]:
    contents = {name: Content(bytes=len(text), sha256=hashlib.sha256(text).hexdigest()) for name, text in files.items()}
    contents[DATABASE] = described(database)
    manifest = Manifest(format=FORMAT, made_at=datetime.now(UTC).isoformat(timespec="seconds"), o8=version(),
                        installation=installation, files=contents)  # fmt: skip
    files = {MANIFEST: orjson.dumps(manifest.model_dump(), option=orjson.OPT_INDENT_2), **files}
    archive = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - the caller closes it
    try:
        with tarfile.open(fileobj=archive, mode="w:gz", compresslevel=6) as tar:
            for name, text in files.items():
                tar.addfile(_member(name, len(text)), io.BytesIO(text))
            with database.open("rb") as source:
                tar.addfile(_member(DATABASE, contents[DATABASE].bytes), source)
        archive.seek(0)
    except BaseException:
        archive.close()
        raise
    return archive


def described(path: Path) -> Content:
    with path.open("rb") as file:
        return Content(bytes=path.stat().st_size, sha256=hashlib.file_digest(file, "sha256").hexdigest())


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o600
    return member
