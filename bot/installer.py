"""Puts `bot.installation`'s items below a root folder: whole files, never over what differs unless it is forced."""

from __future__ import annotations

import difflib
import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, NamedTuple

from bot import environment, installation
from bot.errors import O8Error
from bot.installation import Found, Item
from bot.settings import SECRETS

_PACKAGE = Path(__file__).parent
# In the wheel the templates are part of the package, in a working copy they are examples.
_FOLDERS = (_PACKAGE / "install_templates", _PACKAGE.parent / "examples")
_LIMIT_S = 30.0
State = Literal["made", "same", "differs", "replaced"]


class Outcome(NamedTuple):
    """`diff`: from what is there to what is wanted, secrets masked."""

    item: Item
    state: State
    diff: tuple[str, ...] = ()


def templates() -> dict[str, str]:
    """The texts of `installation.TEMPLATES`."""
    folder = next(folder for folder in _FOLDERS if (folder / installation.UNIT).is_file())
    return {name: (folder / name).read_text() for name in installation.TEMPLATES}


class Installer:
    """Works below `root`, which is `/` or the folder of another system. Raises `O8Error` for what it may not do."""

    def __init__(self, root: Path, *, is_dry: bool = False, is_forced: bool = False) -> None:
        self._root = root
        self._is_dry = is_dry
        self._is_forced = is_forced

    def text(self, path: str) -> str:
        """Of a file that is there; else empty."""
        try:
            return self._below(path).read_text()
        except FileNotFoundError:
            return ""
        except (OSError, UnicodeDecodeError) as error:
            raise O8Error(f"{self._below(path)} cannot be read: {error}.", "Run it as root.") from error

    def found(self, program: str) -> Found:
        folders = [self._root / folder for folder in ("usr/sbin", "usr/bin", "usr/local/sbin", "usr/local/bin")]

        def has(name: str) -> bool:
            return any((folder / name).exists() for folder in folders)

        return Found(has("dockerd"), has("nginx"), self._below(program).exists())

    @property
    def can_own(self) -> bool:
        """Whether files can get their owners: only root can, and only where there are users."""
        return os.geteuid() == 0 and (self._root / "etc/passwd").is_file()

    def make_user(self) -> bool:
        """The user and group that o8 runs as; False when they are there, or cannot be made here."""
        if not self.can_own or self._id("passwd", installation.USER) is not None:
            return False
        if not self._is_dry:
            where = [] if self._root == Path("/") else ["--root", str(self._root)]
            self._run("useradd", *where, "--system", "--user-group", "--home-dir", installation.DATA,
                      "--no-create-home", "--shell", "/usr/sbin/nologin", installation.USER)  # fmt: skip
        return True

    def put(self, items: Iterable[Item]) -> list[Outcome]:
        """Each item: made, found as it is to be, found different and left, or replaced by force."""
        try:
            return [self._put(item) for item in items]
        except OSError as error:
            raise O8Error(f"{error.filename} cannot be written: {error.strerror}.", "Run it as root.") from error

    def _put(self, item: Item) -> Outcome:
        path = self._below(item.path)
        if not os.path.lexists(path):
            self._write(item, path)
            return Outcome(item, "made")
        diff = self._differences(item, path)
        if not diff:
            return Outcome(item, "same")
        if not self._is_forced:
            return Outcome(item, "differs", diff)
        self._write(item, path)
        return Outcome(item, "replaced", diff)

    def _differences(self, item: Item, path: Path) -> tuple[str, ...]:
        if item.target:
            there = f"link to {path.readlink()}" if path.is_symlink() else "a file"
            return () if there == f"link to {item.target}" else (f"-{there}", f"+link to {item.target}")
        before, after = self._text(path) if item.text is not None else "", item.text or ""
        secrets = [v for text in (before, after) for v in _secrets(text)] if item.path == installation.SETTINGS else []
        one, other = (environment.mask(text, secrets).splitlines() for text in (before, after))
        found = list(difflib.unified_diff(one, other, item.path, item.path, lineterm=""))
        if before != after and not found:
            found = ["-(a secret)", "+(another secret)"]
        return (*found, *self._other_mode(item, path))

    def _other_mode(self, item: Item, path: Path) -> tuple[str, ...]:
        status = path.stat()
        wanted, there = f"mode {item.mode:04o}", f"mode {status.st_mode & 0o7777:04o}"
        if self.can_own:
            owner, group = self._owner(item)
            wanted, there = f"{wanted}, owner {owner}:{group}", f"{there}, owner {status.st_uid}:{status.st_gid}"
        return () if wanted == there else (f"-{there}", f"+{wanted}")

    def _text(self, path: Path) -> str:
        try:
            return path.read_text()
        except UnicodeDecodeError:
            return "(no text)\n"

    def _write(self, item: Item, path: Path) -> None:
        if self._is_dry:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        if item.target:
            draft = path.with_name(f".{path.name}.new")
            draft.unlink(missing_ok=True)
            draft.symlink_to(item.target)
            draft.replace(path)
        elif item.text is None:
            path.mkdir(exist_ok=True)
            self._give(item, path)
        else:
            draft = path.with_name(f".{path.name}.new")
            draft.unlink(missing_ok=True)
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(item.text)
                file.flush()
                os.fsync(file.fileno())
            self._give(item, draft)
            draft.replace(path)

    def _give(self, item: Item, path: Path) -> None:
        if self.can_own:
            os.chown(path, *self._owner(item))
        path.chmod(item.mode)

    def _owner(self, item: Item) -> tuple[int, int]:
        """-1 while the user is not made yet, as in a dry run."""
        owner, group = self._id("passwd", item.owner), self._id("group", item.group)
        return (-1 if owner is None else owner), (-1 if group is None else group)

    def _id(self, kind: Literal["passwd", "group"], name: str) -> int | None:
        path = self._root / "etc" / kind
        lines = path.read_text().splitlines() if path.is_file() else []
        return next((int(line.split(":")[2]) for line in lines if line.startswith(f"{name}:")), None)

    def _below(self, path: str) -> Path:
        return self._root / path.removeprefix("/")

    def _run(self, *command: str) -> None:
        program = shutil.which(command[0], path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
        if program is None:
            raise O8Error(f"`{command[0]}` was not found.", "Debian has it in the package passwd.")
        done = subprocess.run([program, *command[1:]], capture_output=True, text=True, timeout=_LIMIT_S, check=False)
        if done.returncode:
            raise O8Error(f"`{' '.join(command)}` failed: {done.stderr.strip()}.")


def _secrets(text: str) -> list[str]:
    values = environment.parse(text)
    return [part for name in SECRETS for part in (values.get(name, ""), *values.get(name, "").split(",")) if part]
