"""Files that are whole or absent, whatever gets killed: temporary file beside, fsync, rename, fsync of the folder."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from bot.errors import InvalidInput, NginxError

SHARED = "_o8.conf"  # no service's name has a `_`
_MARK = "# Written by o8"
_SERVICE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_TEMPORARY = ".o8-"  # hidden: an `include *` does not see it

Files = Mapping[str, str | None]  # text by file name; None: no such file


class Folder:
    """The folder of site files. Only files that begin with our mark are ours; others are never touched."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def prepare(self) -> None:
        """Makes the folder; removes what a kill left half written."""
        make_folder(self.path)
        for left in self.path.glob(f"{_TEMPORARY}*"):
            left.unlink(missing_ok=True)

    def read(self, name: str) -> str | None:
        """Text of one of our files; None when there is none."""
        try:
            text = (self.path / name).read_text()
        except (FileNotFoundError, NotADirectoryError, UnicodeDecodeError):
            return None
        except OSError as error:
            raise NginxError(f"{self.path / name} cannot be read: {error.strerror}.") from error
        return text if text.startswith(_MARK) else None

    def all(self) -> dict[str, str]:
        """All our files."""
        texts = ((path.name, self.read(path.name)) for path in sorted(self.path.glob("*.conf")))
        return {name: text for name, text in texts if text is not None}

    def swap(self, files: Files) -> dict[str, str | None]:
        """Writes and removes, all or nothing; returns what was there before, good for swapping back."""
        for name in files:
            self._require_ours(name)
        before = {name: self.read(name) for name in files}
        paths = {self.path / name: text for name, text in files.items()}
        with reporting(self.path):
            staged = {path: _stage(path, text) for path, text in paths.items() if text is not None}
            for path in paths:
                staged[path].replace(path) if path in staged else path.unlink(missing_ok=True)
            _sync(self.path)
        return before

    def _require_ours(self, name: str) -> None:
        path = self.path / name
        if path.exists() and self.read(name) is None:
            raise NginxError(f"{path} exists and was not written by o8.", "Move it away; o8 then writes its own.")


def site_file(service: str) -> str:
    """Name of a service's site file; raises `InvalidInput` for what is no service's name."""
    require_name(service)
    return f"{service}.conf"


def require_name(service: str) -> None:
    """A file's name is made of it, so it is checked here again."""
    if not _SERVICE.fullmatch(service):
        raise InvalidInput(f"{service!r} is not a service's name.")


def make_folder(path: Path) -> None:
    with reporting(path):
        path.mkdir(parents=True, exist_ok=True)


def write(path: Path, text: str) -> None:
    """`path` holds `text`, readable by all; raises `NginxError`, then it is as before."""
    with reporting(path):
        _stage(path, text).replace(path)
        _sync(path.parent)


def touch(path: Path) -> None:
    """`path` exists; nothing to do when it does."""
    with reporting(path):
        if not path.exists():
            path.touch(mode=0o644)
            _sync(path.parent)


def remove(path: Path) -> None:
    """`path` does not exist; nothing to do when it does not."""
    with reporting(path):
        if path.exists():
            path.unlink(missing_ok=True)
            _sync(path.parent)


@contextmanager
def reporting(path: Path) -> Iterator[None]:
    """Work on `path` that fails raises `NginxError`."""
    try:
        yield
    except OSError as error:
        raise NginxError(
            f"{path} cannot be written or read: {error.strerror}.", "Check the folder's owner and the room on the disk."
        ) from error


def _stage(path: Path, text: str) -> Path:
    """A temporary file beside `path` with `text` safely in it."""
    handle, name = tempfile.mkstemp(prefix=_TEMPORARY, dir=path.parent)
    staged = Path(name)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
            file.flush()
            os.fchmod(handle, 0o644)
            os.fsync(handle)
    except BaseException:
        staged.unlink(missing_ok=True)
        raise
    return staged


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
