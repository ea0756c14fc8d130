"""Waits for a deployment and shows how it goes: bars on a terminal, else one line for each state."""

from __future__ import annotations

import time
from contextlib import closing
from typing import Protocol

import click

from bot.cli.client import Unreachable
from bot.cli.group import Exit, Session
from bot.cli.output import Output, Record, harmless
from bot.models import State

POLL_S = 0.2
PATIENCE_S = 30.0  # o8 may be restarted meanwhile; its deployments go on
_SERVES = {State.SUCCEEDED, State.UNCHANGED}
WENT_WRONG = frozenset({State.FAILED, State.ROLLED_BACK, State.NEEDS_ATTENTION})
_NOT_RUN = {State.SUPERSEDED, State.CANCELLED, State.HELD}


def bring(session: Session, deployment: Record, until: str | None, answer: Record | None = None) -> None:
    """Waits as asked and tells what came of it; ends with code 1 when the deployment did not come to serve.

    `answer` is the API's answer that `deployment` was part of.
    """
    found = deployment if until == "asked" else _watch(session, deployment, until)
    session.output.show(found if answer is None else answer | {"deployment": found}, lambda: tell(session, found))
    if State(found["state"]) in WENT_WRONG | _NOT_RUN:
        raise click.exceptions.Exit(Exit.FAILED)


def tell(session: Session, found: Record) -> None:
    """How a deployment is, in one sentence or a few."""
    say, id, state = session.output.say, found["id"], State(found["state"])
    name = f"{found['service']} {found['release']}"
    if state in _SERVES:
        say(f"{name} is live." if state is State.SUCCEEDED else f"{name} was live already; nothing to do.")
    elif state in WENT_WRONG | _NOT_RUN:
        say(f"{name}: deployment {id} {state.replace('_', ' ')}. {found['error']} {found['next_step']}".rstrip())
        for line in found.get("log", "").splitlines():
            say(f"    {line}")
    elif found["switched_at"]:
        say(f"{name} is live. Its deployment goes on {state}; `o8 deployments {id}` shows it.")
    else:
        say(f"{name}: deployment {id} is {state}; `o8 deployments {id}` shows it.")


def _watch(session: Session, deployment: Record, until: str | None) -> Record:
    id = deployment["id"]
    try:
        is_for_eyes = session.output.is_terminal and not session.output.is_json
        with closing(_bars() if is_for_eyes else _Lines(session.output)) as view:
            while True:
                found = _ask(session, id)
                view.show(found)
                is_live = found["switched_at"] and until != "ended"
                if found["has_ended"] or is_live or found["state"] == State.WAITING:
                    return found
                time.sleep(POLL_S)
    except KeyboardInterrupt:
        click.echo(f"\nDeployment {id} goes on: `o8 deployments {id}` shows it, `o8 cancel {id}` ends it.", err=True)
        raise click.exceptions.Exit(Exit.INTERRUPTED) from None


def _bars() -> _View:
    from bot.cli.bars import Bars  # late, as all of rich: `o8 serve` must not carry it about

    return Bars()


def _ask(session: Session, id: int) -> Record:
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            found: Record = session.api.get("deployments", id)
            return found
        except Unreachable:
            if time.monotonic() > end:
                raise
            time.sleep(POLL_S)


class _View(Protocol):
    """Shows a deployment as it goes."""

    def show(self, found: Record) -> None: ...

    def close(self) -> None: ...


class _Lines:
    """For pipes and files. With JSON on stdout, the lines go to stderr."""

    def __init__(self, output: Output) -> None:
        self._is_error = output.is_json
        self._shown: list[str] = []

    def show(self, found: Record) -> None:
        states = [State.QUEUED.value, *(step["state"] for step in found["steps"])]
        for state in states[len(self._shown) :]:
            click.echo(harmless(f"{found['service']} {found['release']}: {state}"), err=self._is_error)
        self._shown = states

    def close(self) -> None:
        pass
