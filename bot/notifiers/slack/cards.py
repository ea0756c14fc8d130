"""What each card says in each state, and which buttons are valid now. Pure but for `render`, which asks the store.

To change what a state says: its row in `_SAID`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from bot.accounts import AccessRequest, in_words
from bot.chat import Card, CardKind, DiskAlarm, Package, lasting
from bot.errors import NotFound
from bot.github.commits import Changes
from bot.models import AFTER_SWITCH, Deployment, Kind, Service, State
from bot.notifiers.slack.blocks import Choice, Message, Style, actions, buttons, context, message, section
from bot.notifiers.slack.certificates import certificate_card
from bot.notifiers.slack.commits import at_github, commits, span_of
from bot.notifiers.slack.steps import progress, steps_message
from bot.notifiers.slack.text import escaped, mention, named, span
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
    changes: Changes | None = None  # as GitHub told, some time after the card was posted
    mentions: Mapping[str, str] = MappingProxyType({})  # login at GitHub -> account in Slack


FULL = 95  # per cent of a disk
TROUBLE = frozenset({State.FAILED, State.ROLLED_BACK, State.NEEDS_ATTENTION})
_SAID: dict[State, tuple[str, str]] = {
    State.WAITING: (":raised_hand:", "waits for approval"),
    State.QUEUED: (":hourglass_flowing_sand:", "is queued"),
    State.DRAINING: (":eyes:", "is live, and is being watched"),
    State.WATCHING: (":eyes:", "is live, and is being watched"),
    State.SUCCEEDED: (":white_check_mark:", "is live"),
    State.UNCHANGED: (":heavy_minus_sign:", "runs already; nothing had to change"),
    State.FAILED: (":x:", "failed; visitors saw nothing of it"),
    State.ROLLED_BACK: (":leftwards_arrow_with_hook:", "was taken back by o8"),
    State.SUPERSEDED: (":heavy_minus_sign:", "gave way to something newer"),
    State.CANCELLED: (":no_entry_sign:", "was cancelled"),
    State.HELD: (":double_vertical_bar:", "is held back"),
    State.NEEDS_ATTENTION: (":rotating_light:", "needs a person"),
}
_UNDER_WAY = {
    Kind.DEPLOY: "is being deployed", Kind.RESTART: "is being restarted", Kind.ROLLBACK: "is being brought back",
    Kind.START: "is being started", Kind.CONFIGURE: "is being configured anew",
}  # fmt: skip
_ASKED = {
    Kind.DEPLOY: "deploy", Kind.RESTART: "restart", Kind.ROLLBACK: "rollback", Kind.START: "start",
    Kind.CONFIGURE: "new configuration",
}  # fmt: skip
# What to do next is said in commands of the terminal. These are the same in chat; the lines are in the card's thread.
_SAME_IN_CHAT = re.compile(r"`o8 (?=(?:cancel|deploy|doctor|rollback|status|stop)\b)")
_LINES = re.compile(r"`o8 deployments \d+` shows its last lines\.")
_REPLACED_NOTHING = frozenset({
    State.FAILED, State.SUPERSEDED, State.CANCELLED, State.HELD, State.UNCHANGED, State.ROLLED_BACK,
})  # fmt: skip


async def render(card: Card, store: Store, *, is_short: bool = False) -> Rendered | None:
    """The card as it is true now; None when there is nothing (more) to tell. `is_short`: Slack found it too long."""
    if card.kind is CardKind.REQUEST:
        return _request(await store.access_request(int(card.subject)))
    if card.kind is CardKind.PACKAGE:
        return _package(await store.package(card.subject))
    if card.kind is CardKind.DISK:
        alarm = await store.alarm(int(card.subject))
        is_told = card.ts or card.attempted_at
        return _disk(alarm) if is_told or not alarm.ended_at else None  # over before anybody heard of it
    if card.kind is CardKind.CERTIFICATE:
        bad = await store.certificate_alarm(int(card.subject))
        if bad.ended_at and not (card.ts or card.attempted_at):
            return None  # over before anybody heard of it
        return Rendered(certificate_card(bad), is_trouble=bad.level == "over" and not bad.ended_at)
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
    symbol, said = _SAID.get(deployment.state, (":arrow_forward:", _UNDER_WAY[deployment.kind]))
    if deployment.state is State.ROLLED_BACK and facts.previous:
        said = f"{said}; {named(facts.previous.release)} serves again"
    what = f"{named(deployment.service)} {named(deployment.release)}"
    blocks = [section(f"{symbol} *{what}* {said}")]
    if line := progress(deployment):
        blocks.append(context(line))
    if deployment.error:
        next_step = _LINES.sub("Its last lines are in the thread.", _SAME_IN_CHAT.sub("`/o8 ", deployment.next_step))
        blocks.append(section(escaped(f"{deployment.error:.1200} {next_step}".rstrip(), 1800)))
    if deployment.reason:
        blocks.append(context(f"Why: {escaped(deployment.reason, 500)}"))
    blocks.append(context(_image(facts), _who(facts), _how_long(deployment)))
    blocks += actions(buttons(_choices(facts)))
    return message(f"{what} ({_who(facts)}) {said}. {escaped(deployment.error, 300)}".strip(), blocks)


def person(actor: str) -> str:
    """An actor in words; people of Slack as Slack shows them."""
    return mention(actor.rpartition(":")[2]) if actor.startswith("slack:") else named(in_words(actor), 100)


def _choices(facts: Facts) -> Sequence[Choice]:
    deployment, service = facts.deployment, facts.service
    name, id, state = deployment.service, deployment.id, deployment.state
    if service is None:
        return ()
    resume = [Choice("Resume", f"resume {name}")] if service.hold else []
    logs = [Choice("Logs", f"logs {name}")] if service.live else []  # a candidate's log comes in the thread
    if state is State.WAITING:
        return Choice("Approve", f"approve {id}", "primary"), Choice("Reject", f"reject {id}", "danger")
    if state.can_be_cancelled:
        question = f"Cancel the {_ASKED[deployment.kind]} of {name} {deployment.release}?"
        cancel = Choice("Cancel", f"cancel {id}", "danger", question)
        return (cancel,) if state is State.QUEUED else (*logs, cancel)
    if service.live == id and (state is State.SUCCEEDED or state in AFTER_SWITCH):
        return *logs, *_back(facts), *resume
    if state is State.HELD and facts.is_newest:
        return *logs, *(resume or [_again(deployment, "Deploy now", "primary")])
    if state is State.ROLLED_BACK:
        return *logs, *resume
    if state is State.FAILED and facts.is_newest:
        return *logs, _again(deployment, "Retry")
    if state is State.NEEDS_ATTENTION:
        return (Choice("Status", f"status {name}"),)
    return logs if state is State.SWITCHING else ()


def _back(facts: Facts) -> Sequence[Choice]:
    name, before = facts.deployment.service, facts.previous
    if before is None:
        return ()
    question = f"Take {name} back to the release before, and hold new pushes?"
    return (Choice("Roll back", f"rollback {name} --yes", "danger", question),)


def _again(deployment: Deployment, label: str, style: Style = "") -> Choice:
    name = deployment.service
    if deployment.kind is Kind.ROLLBACK:
        question = f"Take {name} back to {deployment.release}, and hold new pushes?"
        return Choice(label, f"rollback {name} #{deployment.target} --yes", "danger", question)
    if deployment.kind is Kind.DEPLOY:
        return Choice(label, f"deploy {name} {deployment.tag or deployment.digest}".strip(), style)
    return Choice(label, f"{'start' if deployment.kind is Kind.START else 'restart'} {name}", style)


def _image(facts: Facts) -> str:
    """`web` ab12cd34ef56, instead of 0004, diff to 1a2b3c4"""
    deployment, before = facts.deployment, facts.previous
    parts = [f"{span(deployment.image.rpartition('/')[2], 100)} {named(_short(deployment.digest))}".strip()]
    if before and before.release != deployment.release and deployment.state not in _REPLACED_NOTHING:
        parts.append(f"instead of {named(before.release)}")
    if what := commits(deployment, before, facts.changes, facts.mentions):
        parts.append(what)
    return ", ".join(parts)


def _short(digest: str) -> str:
    return digest.removeprefix("sha256:")[:12]


def _who(facts: Facts) -> str:
    deployment = facts.deployment
    text = f"{_ASKED[deployment.kind]} by {person(deployment.actor)}"
    if deployment.pusher:
        text = f"{text} of {at_github(deployment.pusher, '', facts.mentions)}"
    return f"{text}, approved by {person(deployment.approved_by)}" if deployment.approved_by else text


def _how_long(deployment: Deployment) -> str:
    end = deployment.switched_at or deployment.finished_at
    if not deployment.started_at or not end:
        return ""
    # The time until somebody approved is not o8's.
    begin = deployment.started_at if deployment.approved_by else deployment.created_at
    return f"{'live' if deployment.switched_at else 'ended'} after {lasting(begin, end)}"


def _request(request: AccessRequest) -> Rendered:
    what = f"{span(request.action)} in {span(request.scope)}"
    text = f"{person(request.actor)} asks for {what}: {escaped(request.reason, 500)}"
    if request.state != "open":
        by = person(request.decided_by or "o8")
        return Rendered(message(f"{text} ({request.state} by {by})", [section(f"{text}\n*{request.state}* by {by}")]))
    choices = [
        Choice("Grant", f"grant-request {request.id}", "primary"),
        Choice("Grant for 8 hours", f"grant-request {request.id} --for 8h"),
        Choice("Deny", f"deny-request {request.id}", "danger"),
    ]
    return Rendered(message(text, [section(text), *actions(buttons(choices))]), is_trouble=True)


def _package(package: Package) -> Rendered:
    image = span(package.image)
    tag = f", as {span(package.tag)}" if package.tag else ""
    if package.state != "offered":
        text = f"{image} was {package.state}{f' as {named(package.service)}' if package.service else ''}."
        if package.state == "installing":
            text = f"{image} was pushed{tag}, and o8 makes a service of it."
        return Rendered(message(text, [section(text)]))
    text = f"{image} was pushed{tag}, and no service uses it."
    choices = [
        Choice("Install", f"install {package.image}", "primary"),
        Choice("Not this one", f"dismiss {package.image}"),
    ]
    why = [context(f"o8 does not install it by itself: {escaped(package.note, 900)}")] if package.note else []
    return Rendered(message(text, [section(text), *why, *actions(buttons(choices))]))


def _disk(alarm: DiskAlarm) -> Rendered:
    where = f"The disk of {named(alarm.folder, 200)}"
    room = f"{alarm.free / 1e9:.1f} GB of {alarm.total / 1e9:.1f} GB are free"
    if alarm.ended_at:
        text = f":white_check_mark: {where} has room again: {room}. It was short for "
        text += f"{lasting(alarm.began_at, alarm.ended_at)}."
        return Rendered(message(text, [section(text)]))
    is_full = alarm.level >= FULL
    means = "o8 deploys nothing that has to be pulled." if is_full else f"At {FULL} % o8 pulls nothing any more."
    text = f"{':rotating_light:' if is_full else ':warning:'} *{where} is {alarm.level} % full*: {room}. {means}"
    step = "`o8 prune --dry-run` on the server shows which images nothing needs; `docker system df` shows the rest."
    return Rendered(message(text, [section(text), context(step)]), is_trouble=is_full)


async def _facts(store: Store, id: int) -> Facts:
    deployment = await store.deployment(id)
    try:
        service: Service | None = await store.service(deployment.service)
    except NotFound:
        service = None
    before = deployment.previous  # what served when it began; a first release has replaced nothing
    if service and service.live != id and not deployment.started_at:
        before = service.live
    previous = await store.deployment(before) if before else None
    newest = await store.deployments(deployment.service, limit=1)
    span = span_of(deployment, previous)
    changes = await store.changes(span) if span else None
    logins = [*(author.login for author in (changes.authors if changes else ())), deployment.pusher]
    mentions = await store.slack_of(logins) if any(logins) else {}
    return Facts(deployment, service, previous, not newest or newest[0].id == id, changes, mentions)
