"""Commands that keep o8 itself safe: backup, restore, a new key."""

from __future__ import annotations

import getpass
import os
from pathlib import Path
from typing import Any

import click

from bot.cli.group import Session, o8, pass_session
from bot.cli.output import megabytes
from bot.errors import InvalidInput, O8Error

_FILE = click.Path(path_type=Path, dir_okay=False)


@o8.command("backup")
@click.argument("file", type=_FILE)
@click.option("--with-key", is_flag=True, help="The key too: who has FILE can then read every environment value.")
@click.option("--force", is_flag=True, help="Replace FILE when it is there.")
@pass_session
def backup(session: Session, file: Path, with_key: bool, force: bool) -> None:
    """Write everything o8 knows to FILE, while it runs: database, service files, settings without secrets."""
    from bot.safekeeping.restore import check

    if file.exists() and not force:
        raise InvalidInput(f"{file} is there already.", "Choose another name, or `--force`.")
    draft = file.with_name(f".{file.name}.part")
    try:
        with _opened(draft) as target:
            for piece in session.api.pieces("backup", with_key=with_key):
                target.write(piece)
            target.flush()
            os.fsync(target.fileno())
        manifest = check(draft)
        draft.replace(file)
    except OSError as error:
        raise O8Error(f"{file} cannot be written: {error.strerror}.") from None
    finally:
        draft.unlink(missing_ok=True)
    number = sum(name.startswith("services/") for name in manifest.files)
    answer = {"file": str(file), "bytes": file.stat().st_size, "services": number, "with_key": with_key}
    held = f"{_counted(number, 'service')}, {megabytes(file.stat().st_size)}, every byte checked"
    session.output.show(answer, lambda: session.output.say(f"{file}: {held}. {_about_the_key(with_key)}"))


@o8.command("restore")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--force", is_flag=True, help="Although there is a database; it is kept beside the new one.")
@click.option("--key-file", type=click.Path(path_type=Path, exists=True, dir_okay=False),
              help="File with the key, when it is neither in FILE nor here.")  # fmt: skip
@click.option("--accept", type=click.Choice(["audit", "values"]), multiple=True,
              help="Restore although the audit was edited, or although values stay unreadable.")  # fmt: skip
@pass_session
def restore(session: Session, file: Path, force: bool, key_file: Path | None, accept: tuple[Any, ...]) -> None:
    """Put the backup FILE into the folder of an o8 that does not run."""
    from bot import vault as keys
    from bot.safekeeping.restore import restore as put_back
    from bot.settings import load

    settings = load(session.environ)
    found = put_back(
        file, settings.o8_data_dir, f"cli:{getpass.getuser()}", is_forced=force, accepted=accept,
        settings_keys=keys.split(settings.o8_secret_key.get_secret_value()),
        more_keys=keys.split(key_file.read_text()) if key_file else [],
    )  # fmt: skip
    answer = {"made_at": found.made_at, "services": found.services, "aside": str(found.aside) if found.aside else None}

    def in_words() -> None:
        session.output.say(
            f"{settings.o8_data_dir} is as it was at {found.made_at}: {_counted(len(found.services), 'service')}."
        )
        if found.aside:
            session.output.say(f"What was there is in {found.aside}; remove it when all is well.")
        session.output.say("Everybody is logged out. Tokens, users and rights are those of then: `o8 token list`.")
        session.output.say("Volumes are not in a backup. Start o8: it brings up what is missing.")

    session.output.show(answer, in_words)


@o8.command("rotate-key")
@pass_session
def rotate_key(session: Session) -> None:
    """Seal every environment value anew, with a new key."""
    found = session.api.post("key-rotation")

    def in_words() -> None:
        session.output.say(f"Sealed anew: {_counted(found['resealed'], 'environment revision')}.")
        if found["is_in_settings"]:
            session.output.say("Remove the old keys from O8_SECRET_KEY, then restart o8.")
        else:
            session.output.say("Backups made before need the old key: it is in secret.key.retired of the data folder.")

    session.output.show(found, in_words)


def _opened(path: Path) -> Any:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb")


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _about_the_key(with_key: bool) -> str:
    if with_key:
        return "The key is inside: who has this file can read every environment value."
    return "The key is not inside: keep a copy of secret.key (or O8_SECRET_KEY) elsewhere, without it values are lost."
