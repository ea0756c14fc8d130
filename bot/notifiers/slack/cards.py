"""What each card says in each state, and which buttons are valid now. Pure but for `render`, which asks the store.

To change what a state says: its row in `_SAID`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from bot.accounts import AccessRequest
from bot.chat import Card, CardKind, Package
from bot.errors import NotFound
from bot.models import Deployment, Kind, Service, State
from bot.notifiers.slack.blocks import Block, Message, Style, actions, button, context, message, section
from bot.notifiers.slack.steps import progress, steps_message
from bot.notifiers.slack.text import escaped, link, mention
from bot.store import Store


class Rendered(NamedTuple):
    """A card as it has to look now. `is_trouble`: told at night too; `is_broadcast`: also outside of its thread."""

    message: Message
    is_trouble: bool = False
    is_broadcast: bool = False


class Facts(NamedTuple):
    """What a card about a deployment is made of. `service` is None once it was removed."""

    deployment: Deployment
    service: Service | None
    previous: Deployment | None
    is_newest: bool


class Choice(NamedTuple):
    """A button that makes sense now."""

    label: str
    command: str
    style: Style = ""
    question: str = ""


TROUBLE = frozenset({State.FAILED, State.ROLLED_BACK, State.NEEDS_ATTENTION})
_SAID: dict[State, tuple[str, str]] = {
    State.WAITING: (":raised_hand:", "waits for approval"),
    State.QUEUED: (":hourglass_flowing_sand:", "is queued"),
    State.RESOLVING: (":arrow_forward:", "is being deployed"),
    State.PULLING: (":arrow_forward:", "is being deployed"),
    State.STARTING: (":arrow_forward:", "is being deployed"),
    State.CHECKING: (":arrow_forward:", "is being deployed"),
    State.SWITCHING: (":arrow_forward:", "is being deployed"),
    State.DRAINING: (":eyes:", "is live, and is being watched"),
    State.WATCHING: (":eyes:", "is live, and is being watched"),
    State.SUCCEEDED: (":white_check_mark:", "is live"),
    State.UNCHANGED: (":heavy_minus_sign:", "runs already; nothing had to change"),
    State.FAILED: (":x:", "failed; visitors saw nothing of it"),
    State.ROLLED_BACK: (":leftwards_arrow_with_hook:", "was taken back by o8"),
    State.SUPERSEDED: (":heavy_minus_sign:", "gave way to something newer"),
    State.CANCELLED: (":no_entry_sign:", "was cancelled"),
    State.HELD: (":pause_button:", "is held back"),
    State.NEEDS_ATTENTION: (":rotating_light:", "needs a person"),
}
_ASKED = {
    Kind.DEPLOY: "deployed", Kind.RESTART: "restarted", Kind.ROLLBACK: "rolled back to", Kind.START: "started",
    Kind.CONFIGURE: "configured",
}  # fmt: skip


async def render(card: Card, store: Store, *, is_short: bool = False) -> Rendered | None:
    """The card as it is true now; None when there is nothing (more) to tell. `is_short`: Slack found it too long."""
    if card.kind is CardKind.REQUEST:
        return _request(await store.access_request(int(card.subject)))
    if card.kind is CardKind.PACKAGE:
        return _package(await store.package(card.subject))
    facts = await _facts(store, int(card.subject))
    is_trouble = facts.deployment.state in TROUBLE
    if card.kind is CardKind.STEPS:
        return Rendered(steps_message(facts.deployment, is_short=is_short), is_trouble, is_trouble)
    found = deployment_card(facts)
    if is_short:
        found = message(found.text, [section(found.text)])
    return Rendered(found, is_trouble or facts.deployment.state is State.WAITING)


def deployment_card(facts: Facts) -> Message:
    """The one message of a deployment, at most 8 blocks."""
    deployment = facts.deployment
    symbol, said = _SAID[deployment.state]
    what = f"{escaped(deployment.service)} {escaped(deployment.release)}"
    blocks = [section(f"{symbol} *{what}* {said}")]
    if line := progress(deployment):
        blocks.append(context(line))
    if deployment.error:
        blocks.append(section(escaped(f"{deployment.error} {deployment.next_step}".strip(), 1500)))
    if deployment.reason:
        blocks.append(context(f"Why: {escaped(deployment.reason, 500)}"))
    blocks.append(context(_image(facts), _who(deployment), _how_long(deployment)))
    blocks += actions(_buttons(facts))
    return message(f"{what} {said}. {escaped(deployment.error, 300)} {_who(deployment)}.", blocks)


def named(actor: str) -> str:
    """An actor in words; people of Slack as Slack shows them."""
    kind, _, name = actor.partition(":")
    if kind == "slack":
        return mention(name.rpartition(":")[2])
    words = {"delivery": "a push", "poller": "the poller", "o8": "o8 itself", "reconciler": "o8 itself"}
    return words.get(kind) or escaped(f"{name} on the server" if kind == "cli" else name or actor, 100)


def ago(start: datetime, end: datetime | None = None) -> str:
    """How long, in words: `12 s`, `3 min`, `2 h`."""
    seconds = ((end or datetime.now(UTC)) - start).total_seconds()
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"


def _buttons(facts: Facts) -> list[Block]:
    return [button(number, *each) for number, each in enumerate(_choices(facts))]


def _choices(facts: Facts) -> Sequence[Choice]:
    deployment, service = facts.deployment, facts.service
    name, id, state = deployment.service, deployment.id, deployment.state
    if service is None:
        return ()
    logs, resume = Choice("Logs", f"logs {name}"), [Choice("Resume", f"resume {name}")] if service.hold else []
    if state is State.WAITING:
        return Choice("Approve", f"approve {id}", "primary"), Choice("Reject", f"reject {id}", "danger")
    if state.can_be_cancelled:
        return logs, Choice(
            "Cancel", f"cancel {id}", "danger", f"Cancel the deployment of {name} {deployment.release}?"
        )
    if state is State.SUCCEEDED and service.live == id:
        back = Choice("Roll back", f"rollback {name} --yes", "danger", f"Take {name} back to the release before?")
        return logs, *([back] if facts.previous else []), *resume
    if state is State.HELD and facts.is_newest:
        return logs, *([] if service.hold else [Choice("Deploy now", _again(deployment), "primary")]), *resume
    if state is State.ROLLED_BACK:
        return logs, *resume
    if state is State.FAILED and facts.is_newest:
        return logs, Choice("Retry", _again(deployment))
    return (Choice("Status", f"status {name}"),) if state is State.NEEDS_ATTENTION else ()


def _again(deployment: Deployment) -> str:
    name = deployment.service
    if deployment.kind is Kind.ROLLBACK:
        return f"rollback {name} #{deployment.target} --yes"
    if deployment.kind is Kind.DEPLOY:
        return f"deploy {name} {deployment.tag or deployment.digest}".strip()
    return f"restart {name}" if deployment.kind is not Kind.START else f"start {name}"


def _image(facts: Facts) -> str:
    deployment, before = facts.deployment, facts.previous
    digest = deployment.digest.removeprefix("sha256:")[:12]
    parts = [f"`{escaped(deployment.image.rpartition('/')[2], 100)}` {digest}".strip()]
    if before and before.release != deployment.release:
        parts.append(f"was {escaped(before.release, 100)}")
    if compare := _compare(deployment, before):
        parts.append(compare)
    return ", ".join(parts)


def _compare(deployment: Deployment, before: Deployment | None) -> str:
    """What changed, at GitHub, where it is known from which commits both were built."""
    host, _, path = deployment.image.partition("/")
    if host != "ghcr.io" or not deployment.commit:
        return ""
    repository = "/".join(path.split("/")[:2])
    short = deployment.commit[:7]
    if before and before.commit and before.commit != deployment.commit:
        return link(
            f"https://github.com/{repository}/compare/{before.commit}...{deployment.commit}", f"diff to {short}"
        )
    return link(f"https://github.com/{repository}/commit/{deployment.commit}", short)


def _who(deployment: Deployment) -> str:
    text = f"{_ASKED[deployment.kind]} by {named(deployment.actor)}"
    return f"{text}, approved by {named(deployment.approved_by)}" if deployment.approved_by else text


def _how_long(deployment: Deployment) -> str:
    end = deployment.switched_at or deployment.finished_at
    if not deployment.started_at or not end:
        return ""
    word = "live after" if deployment.switched_at else "ended after"
    return f"{word} {ago(deployment.created_at, end)}"


def _request(request: AccessRequest) -> Rendered:
    what = f"`{request.action}` in `{escaped(request.scope)}`"
    text = f"{named(request.actor)} asks for {what}: {escaped(request.reason, 500)}"
    if request.state != "open":
        by = named(request.decided_by or "o8")
        return Rendered(message(f"{text} ({request.state} by {by})", [section(f"{text}\n*{request.state}* by {by}")]))
    buttons = [
        button(0, "Grant", f"grant-request {request.id}", "primary"),
        button(1, "Grant for 8 hours", f"grant-request {request.id} --for 8h"),
        button(2, "Deny", f"deny-request {request.id}", "danger"),
    ]
    return Rendered(message(text, [section(text), *actions(buttons)]), is_trouble=True)


def _package(package: Package) -> Rendered:
    image = escaped(package.image, 300)
    if package.state != "offered":
        text = f"{image} was {package.state}."
        return Rendered(message(text, [section(text)]))
    text = f"`{image}` was pushed for the first time (`{escaped(package.tag, 140)}`), and no service uses it."
    buttons = [
        button(0, "Install", f"install {package.image}", "primary"),
        button(1, "Not this one", f"dismiss {package.image}"),
    ]
    return Rendered(message(text, [section(text), *actions(buttons)]))


async def _facts(store: Store, id: int) -> Facts:
    deployment = await store.deployment(id)
    try:
        service: Service | None = await store.service(deployment.service)
    except NotFound:
        service = None
    before = deployment.previous or (service.live if service and service.live != id else None)
    previous = await store.deployment(before) if before else None
    newest = await store.deployments(deployment.service, limit=1)
    return Facts(deployment, service, previous, is_newest=not newest or newest[0].id == id)
