"""How far a deployment is, as one line, and how it went, as the message in its card's thread. Pure."""

from __future__ import annotations

from datetime import datetime

from bot.models import Deployment, State
from bot.notifiers.slack.blocks import Message, context, message, section
from bot.notifiers.slack.text import code, escaped, in_code, named, plain

LOG, STEPS = 2500, 2000  # characters of a log and of the steps that are shown; a longer log is a file
_STAGES = (
    ("find", (State.RESOLVING,)), ("pull", (State.PULLING,)), ("start", (State.STARTING,)),
    ("check", (State.CHECKING,)), ("switch", (State.SWITCHING,)), ("watch", (State.DRAINING, State.WATCHING)),
)  # fmt: skip


def progress(deployment: Deployment) -> str:
    """`find > pull > *start* > check > switch > watch` while it is under way; else empty."""
    current = next((i for i, (_, states) in enumerate(_STAGES) if deployment.state in states), None)
    if current is None:
        return ""
    words = []
    for index, (name, states) in enumerate(_STAGES):
        took = sum(_seconds(deployment, state) for state in states)
        text = f"{name} {took:.1f} s" if index < current else name
        words.append(f"*{text}*" if index == current else text)
    return " \u203a ".join(words)


def steps_message(deployment: Deployment, *, is_short: bool = False) -> Message:
    """Each step with its seconds, and the last lines of a container that failed."""
    title = f"Steps of {named(deployment.service)} {named(deployment.release)} (deployment {deployment.id})"
    rows = [f"{step.state:<10} {_took(step.started_at, step.ended_at)}" for step in deployment.steps]
    blocks = [section(f"{title}\n{code(chr(10).join(rows) or 'none was begun', STEPS)}")]
    if deployment.exit_code is not None:
        blocks.append(context(f"exit code {deployment.exit_code}"))
    log, file = deployment.log.strip("\n"), None
    if log and not is_short:
        blocks.append(section("The last lines of the container:"))
        blocks.append(section(code(log, LOG)))
        file = (f"{deployment.service}-{deployment.id}.log", plain(log)) if len(in_code(log)) > LOG else None
    state = deployment.state.replace("_", " ")
    return message(f"{title}: {state}. {escaped(deployment.error, 500)}".strip(), blocks, file)


def _seconds(deployment: Deployment, state: State) -> float:
    found = [s for s in deployment.steps if s.state is state and s.ended_at]
    return (found[-1].ended_at - found[-1].started_at).total_seconds() if found and found[-1].ended_at else 0.0


def _took(start: datetime, end: datetime | None) -> str:
    return f"{(end - start).total_seconds():8.2f} s" if end else "  cut off"
