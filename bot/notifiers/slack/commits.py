"""What is in a release, as a card says it: which commits, by whom, and a link to them. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from bot.github.commits import Changes
from bot.models import Deployment
from bot.notifiers.slack.text import link, mention, named
from bot.store.changes import Span

_COMMIT = re.compile(r"[0-9a-f]{40}")
_IMAGE = re.compile(r"ghcr\.io/([a-z0-9._-]+/[a-z0-9._-]+)")


def span_of(deployment: Deployment, before: Deployment | None) -> Span | None:
    """Which commits GitHub is asked about; as `bot.store.changes` has them. None: nothing is known, or has changed."""
    if not deployment.repository or not deployment.commit:
        return None
    base = before.commit if before and before.repository in ("", deployment.repository) else ""
    return None if base == deployment.commit else Span(deployment.repository, base, deployment.commit)


def commits(deployment: Deployment, before: Deployment | None, changes: Changes | None,
            mentions: Mapping[str, str]) -> str:  # fmt: skip
    """`3 commits to 1a2b3c4 by ada, bob and 2 more`; without `changes`, which come later, `diff to 1a2b3c4`.

    `mentions`: who is who in Slack, by the login at GitHub in lower case. Empty when no commit is known.
    """
    if not _COMMIT.fullmatch(deployment.commit):
        return ""
    short, repository = deployment.commit[:7], deployment.repository
    if not repository and (image := _IMAGE.match(deployment.image)):
        repository = image[1]  # of the same name, as a rule
    if not repository:
        return f"commit {short}"
    page, by = f"https://github.com/{repository}", _by(changes, mentions)
    base = before.commit if before and before.repository in ("", deployment.repository) else ""
    if not _COMMIT.fullmatch(base) or base == deployment.commit:
        return f"{link(f'{page}/commit/{deployment.commit}', f'commit {short}')}{by}"
    compare = f"{page}/compare/{base}...{deployment.commit}"
    if changes is None:
        return link(compare, f"diff to {short}")
    return f"{link(compare, _counted(changes))} to {short}{by}"


def at_github(login: str, name: str, mentions: Mapping[str, str]) -> str:
    """Somebody by their `login`, or by their `name` where there is none; as Slack shows them where they are known."""
    known = mentions.get(login.lower(), "") if login else ""
    return mention(known) if known else named(login or name, 60)


def _counted(changes: Changes) -> str:
    said = f"{changes.ahead} commit{'' if changes.ahead == 1 else 's'}"
    if not changes.behind:
        return said
    if not changes.ahead:
        return f"{changes.behind} commit{'' if changes.behind == 1 else 's'} back"
    return f"{said}, and {changes.behind} back"


def _by(changes: Changes | None, mentions: Mapping[str, str]) -> str:
    if changes is None or not changes.authors:
        return ""
    who = [at_github(author.login, author.name, mentions) for author in changes.authors]
    if changes.more:
        who.append(f"{changes.more} more")
    return f" by {', '.join(who[:-1])} and {who[-1]}" if len(who) > 1 else f" by {who[0]}"
