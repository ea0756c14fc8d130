"""`o8 init`: from a program in a folder to a service that systemd can start."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import click

from bot import environment, installation
from bot.cli.group import Exit, Session, o8, pass_session
from bot.cli.parameters import from_stdin
from bot.errors import InvalidInput, O8Error
from bot.installation import Choices
from bot.installer import Installer, Outcome, templates
from bot.settings import load

_MARKS = {"made": "made", "same": "as it is to be", "differs": "DIFFERS, left as it is", "replaced": "replaced"}


@o8.command("init")
@click.option("--nginx", type=click.Choice(["system", "embedded"]),
              help="The machine's nginx, or one of o8's own; without: the machine's, when it has one.")  # fmt: skip
@click.option("--base-domain", default="", help="Services without domains get NAME.BASE_DOMAIN.")
@click.option("--host", default="", help="Host name of o8 itself, for GitHub and browsers.")
@click.option("--registry-user", default="", help="User name at the registry.")
@click.option("--token-stdin", is_flag=True, help="The registry's token (GITHUB_PAT) is what stdin holds.")
@click.option("--program", default="", help="Where o8 is installed; without: where this one is.")
@click.option("--root", type=click.Path(path_type=Path, exists=True, file_okay=False), default=Path("/"),
              show_default=True, help="Another system's folder, such as a chroot.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("--force", is_flag=True, help="Also replace files that differ.")
@pass_session
def init(session: Session, /, root: Path, dry_run: bool, force: bool, token_stdin: bool, **asked: Any) -> None:
    """Make user, folders, settings and units for o8 on this machine, as root. Can be repeated; replaces nothing that
    differs unless forced."""
    if root == Path("/") and os.geteuid() and not dry_run:
        raise O8Error("Only root can install o8.", "Try again with sudo; `--dry-run` shows what it would do.")
    installer = Installer(root, is_dry=dry_run, is_forced=force)
    before = installer.text(installation.SETTINGS)
    choices = _choices(session, asked, before, has_nginx=installer.found("/").has_nginx, is_here=root == Path("/"),
                       token=from_stdin() if token_stdin else "")  # fmt: skip
    load(installation.asked(choices), Path("/dev/null"))  # a word that o8 would not start with is refused here
    is_user_made = installer.make_user()
    wanted = installation.settings_text(choices, before, secrets.token_hex(32))
    outcomes = installer.put(installation.items(choices, wanted, templates()))
    is_new = any(each.state == "made" and each.item.path == installation.SETTINGS for each in outcomes)
    settings = wanted if is_new or force else before
    left = list(installation.remaining(choices, settings, installer.found(choices.program),
                                       shows_secret=is_new and not dry_run))  # fmt: skip
    answer = {
        "is_user_made": is_user_made, "remaining": left,
        "items": [{"path": each.item.path, "state": each.state, "diff": each.diff} for each in outcomes],
    }  # fmt: skip
    session.output.show(answer, lambda: _tell(session, outcomes, left, is_user_made=is_user_made, is_dry=dry_run))
    if not installer.can_own:
        click.echo(f"Owners were not set: {root} has no users, or you are not root.", err=True)
    if any(each.state == "differs" for each in outcomes):
        raise click.exceptions.Exit(Exit.REFUSED)


def _choices(session: Session, asked: dict[str, Any], before: str, *, has_nginx: bool, is_here: bool,
             token: str) -> Choices:  # fmt: skip
    """What was not given as an option is asked at a terminal, unless the settings have it."""
    known = environment.parse(before)
    can_ask = sys.stdin.isatty() and not session.is_json

    def value(option: str, name: str, question: str, *, is_hidden: bool = False) -> str:
        if asked.get(option) or known.get(name) or not can_ask:
            return str(asked.get(option) or "")
        return str(click.prompt(question, default="", show_default=False, hide_input=is_hidden)).strip()

    mode: Any = asked["nginx"] or known.get("NGINX_MODE", "auto")
    if mode not in ("system", "embedded"):
        mode = "system" if has_nginx else "embedded"
    return Choices(
        nginx=mode,
        base_domain=value("base_domain", "BASE_DOMAIN", "Domain below which services get their names (empty: none)"),
        registry_user=value("registry_user", "DOCKER_USERNAME", "User at ghcr.io (empty: only public images)"),
        registry_token=token or value("token", "GITHUB_PAT", "Its token, classic with read:packages", is_hidden=True),
        host=asked["host"], program=_program(asked["program"], is_here=is_here),
    )  # fmt: skip


def _program(asked: str, *, is_here: bool) -> str:
    here = Path(sys.prefix) / "bin" / "o8"
    program = asked or (str(here) if is_here and here.exists() else installation.PROGRAM)
    if not program.startswith("/"):
        raise InvalidInput(f"--program {program!r:.80} is no absolute path.", f"Such as {installation.PROGRAM}.")
    if program.startswith(installation.HIDDEN):
        raise InvalidInput(
            f"{program} cannot be reached by the unit, which is kept out of people's folders.",
            "Install o8 in /opt/orchestr8 (docs/installing.md), and run that one's `o8 init`.",
        )
    return program


def _tell(session: Session, outcomes: Sequence[Outcome], left: Iterable[str], *, is_user_made: bool,
          is_dry: bool) -> None:  # fmt: skip
    say = session.output.say
    if is_dry:
        say("Nothing is changed: this is what would be done.")
    if is_user_made:
        say(f"{'made':<24}user and group {installation.USER}")
    for each in outcomes:
        say(f"{_MARKS[each.state]:<24}{each.item.path}")
        for line in each.diff:
            say(f"    {line}")
    say("")
    say("What remains:")
    for number, line in enumerate(left, 1):
        say(f"{number:>3}. {line}")
