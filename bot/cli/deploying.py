"""Commands that bring a release up, down or back."""

from __future__ import annotations

import click

from bot.cli.group import Session, o8, pass_session
from bot.cli.output import ago, between
from bot.cli.parameters import confirmed, make_sure, waiting
from bot.cli.watching import bring, tell


@o8.command("deploy")
@click.argument("service")
@click.argument("release", default="")
@waiting
@pass_session
def deploy(session: Session, service: str, release: str, until: str | None) -> None:
    """Deploy RELEASE, a tag or digest; without one, the newest tag that the service follows."""
    _want(session, service, "deploy", until, release)


@o8.command("rollback")
@click.argument("service")
@click.argument("release", default="")
@waiting
@pass_session
def rollback(session: Session, service: str, release: str, until: str | None) -> None:
    """Return to RELEASE; without one, to the release before. Sets a hold, so that the next push does not undo it."""
    _want(session, service, "rollback", until, release)


@o8.command("restart")
@click.argument("service")
@waiting
@pass_session
def restart(session: Session, service: str, until: str | None) -> None:
    """Replace the containers by new ones of the same release, without losing a request."""
    _want(session, service, "restart", until)


@o8.command("stop")
@click.argument("service")
@confirmed
@pass_session
def stop(session: Session, service: str, is_sure: bool) -> None:
    """Stop a service; its site shows the maintenance page."""
    make_sure(f"Stop {service}? Its visitors get the maintenance page.", is_sure)
    answer = session.api.post("services", service, "stop")
    session.output.show(answer, lambda: session.output.say(f"{service} is stopped. `o8 start {service}` starts it."))


@o8.command("start")
@click.argument("service")
@waiting
@pass_session
def start(session: Session, service: str, until: str | None) -> None:
    """Start a stopped service again."""
    _want(session, service, "start", until)


@o8.command("scale")
@click.argument("service")
@click.argument("replicas", type=click.IntRange(1, 8))
@waiting
@pass_session
def scale(session: Session, service: str, replicas: int, until: str | None) -> None:
    """Run REPLICAS containers, 1 to 8."""
    answer = session.api.post("services", service, "scale", body={"replicas": replicas})
    if answer["deployment"]:
        bring(session, answer["deployment"], until, answer)
    else:
        text = f"{service} runs {replicas} from its next deployment on."
        session.output.show(answer, lambda: session.output.say(text))


@o8.command("cancel")
@click.argument("id", type=int)
@pass_session
def cancel(session: Session, id: int) -> None:
    """End deployment ID before it switches, or reject it while it waits for approval."""
    answer = session.api.post("deployments", id, "cancel")
    text = f"Deployment {id} of {answer['service']} is being cancelled."
    session.output.show(answer, lambda: session.output.say(text))


@o8.command("approve")
@click.argument("id", type=int)
@waiting
@pass_session
def approve(session: Session, id: int, until: str | None) -> None:
    """Let deployment ID run that waits for approval."""
    bring(session, session.api.post("deployments", id, "approve"), until)


@o8.command("deployments")
@click.argument("what", metavar="[SERVICE | ID]", default="")
@click.option("-n", "--limit", type=click.IntRange(1, 500), default=20, show_default=True, help="How many.")
@click.option("--before", type=click.IntRange(0, 2**63 - 1), default=0, help="Only those with an ID below this one.")
@pass_session
def deployments(session: Session, what: str, limit: int, before: int) -> None:
    """List deployments, newest first; or show one by its ID, with its steps and why it failed."""
    if what.isdigit():
        _show_one(session, int(what))
        return
    from_api = session.api.get("deployments", service=what, limit=limit, before=before)
    _list(session, from_api, "No deployments yet.")


@o8.command("releases")
@click.argument("service")
@pass_session
def releases(session: Session, service: str) -> None:
    """List what `rollback` can return to, newest first."""
    _list(session, session.api.get("services", service, "releases"), f"{service} has no release yet.")


def _want(session: Session, service: str, kind: str, until: str | None, release: str = "") -> None:
    body = {"kind": kind} | ({"release": release} if release else {})
    bring(session, session.api.post("services", service, "deployments", body=body), until)


def _list(session: Session, found: list[dict[str, str]], nothing: str) -> None:
    rows = ([d["id"], d["service"], d["kind"], d["release"], d["state"], ago(d["created_at"]), d["actor"], d["error"]]
            for d in found)  # fmt: skip
    heads = ("ID", "Service", "Kind", "Release", "State", "Asked", "By", "Error")
    session.output.show(found, lambda: session.output.table(heads, rows, nothing=nothing))


def _show_one(session: Session, id: int) -> None:
    found = session.api.get("deployments", id)

    def in_words() -> None:
        by = f"{found['kind']} by {found['actor']}, {ago(found['created_at'])}. {found['reason']}"
        session.output.say(f"Deployment {id} of {found['service']}: {by}".rstrip())
        rows = ([s["state"], between(s["started_at"], s["ended_at"]), _detail(s)] for s in found["steps"])
        session.output.table(("Step", "Took", "Found"), rows, nothing="No step yet.")
        tell(session, found)

    session.output.show(found, in_words)


def _detail(step: dict[str, dict[str, object]]) -> str:
    return ", ".join(f"{name} {value}" for name, value in step["detail"].items())
