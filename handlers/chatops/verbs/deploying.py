"""Commands that change which release serves."""

from __future__ import annotations

from bot.errors import InvalidInput, NotFound
from bot.models import Deployment, Kind, State
from bot.operations import release_named
from bot.permissions import Action
from handlers.chatops import names
from handlers.chatops.registry import form, verb
from handlers.chatops.reply import Button, Field, Form, Reply
from handlers.chatops.talk import Talk


@verb("deploy [SVC] [RELEASE] [--dry-run] [--bypass] [-- REASON]", Action.DEPLOY, writes=True)
async def deploy(
    talk: Talk, *, svc: str = "", release: str = "", dry_run: bool = False, bypass: bool = False, reason: str = ""
) -> Reply:
    """Deploys a release; without one, the newest that the service follows.

    `--dry-run` only says what would happen. `--bypass` goes ahead where others would have to approve (needs `manage`).
    Example: `/o8 deploy web 0005 -- fixes the login`
    """
    if not svc and (dry_run or bypass):  # the form has no such switch, and would deploy
        raise InvalidInput("Which service?", "Such as `/o8 deploy web --dry-run`.")
    if not svc:
        return Reply("Which service, which release?", form=_deploy_form())
    if dry_run:
        return await _foretold(talk, svc, release)
    if release:
        release = await _known(talk, svc, release)
    service = await talk.services.store.service(svc)
    live = await talk.services.store.deployment(service.live) if service.live else None
    is_fixed = service.configuration.follow.policy != "tag"  # such as `main`, which is another image each day
    runs = release in (live.tag, live.digest) if live and release else False
    if live and runs and is_fixed and not service.is_stopped:
        return Reply(f"{svc} runs {live.release} already.", buttons=(Button("Restart", f"restart {svc}"),))
    return await begun(talk, await talk.commands.deploy(svc, release, bypass=bypass, reason=reason))


@form("deploy", Action.DEPLOY)
async def deploy_form(talk: Talk, *, svc: str, release: str = "", reason: str = "") -> Reply:
    """What the form of `deploy` asks for."""
    return await deploy(talk, svc=svc, release=release, reason=reason)


@verb("rollback SVC [RELEASE] [--yes] [-- REASON]", Action.DEPLOY, writes=True)
async def rollback(talk: Talk, *, svc: str, release: str = "", yes: bool = False, reason: str = "") -> Reply:
    """Returns to an earlier release with its configuration and environment, and sets a hold.

    Asks first, unless `--yes` is said. Example: `/o8 rollback web 0004 --yes -- 0005 eats memory`
    """
    if not yes:
        target = await talk.commands.rollback_target(svc, release)
        service = await talk.services.store.service(svc)
        live = await talk.services.store.deployment(service.live or 0)
        why = f" -- {reason}" if reason else ""
        return Reply(
            f"{svc} runs {live.release}. Roll back to {target.release} (#{target.id})?",
            ("A hold is set, so that the next push does not undo it.",),
            buttons=(Button(f"Roll back to {target.release}", f"rollback {svc} #{target.id} --yes{why}", "danger"),),
        )
    return await begun(talk, await talk.commands.rollback(svc, release, reason=reason))


@verb("restart SVC [-- REASON]", Action.DEPLOY, writes=True)
async def restart(talk: Talk, *, svc: str, reason: str = "") -> Reply:
    """Replaces the containers by new ones of the same release, without losing a request.

    Example: `/o8 restart web`
    """
    return await begun(talk, await talk.commands.restart(svc, reason=reason))


@verb("start SVC", Action.MANAGE, writes=True)
async def start(talk: Talk, *, svc: str) -> Reply:
    """Starts a stopped service again."""
    return await begun(talk, await talk.commands.start(svc))


@verb("stop SVC [--yes]", Action.MANAGE, writes=True)
async def stop(talk: Talk, *, svc: str, yes: bool = False) -> Reply:
    """Stops a service; visitors see the maintenance page. Asks first, unless `--yes` is said."""
    if not yes:
        await talk.services.store.service(svc)
        question = f"Stop {svc}? Its visitors will see the maintenance page."
        return Reply(question, buttons=(Button(f"Stop {svc}", f"stop {svc} --yes", "danger"),))
    await talk.commands.stop(svc)
    return Reply(f"{svc} is stopped.", buttons=(Button("Start", f"start {svc}"),))


@verb("scale SVC N", Action.MANAGE, writes=True)
async def scale(talk: Talk, *, svc: str, n: int) -> Reply:
    """Changes how many replicas of a service run.

    Example: `/o8 scale web 3`
    """
    applied = await talk.commands.scale(svc, n)
    if applied.deployment is None:
        return Reply(f"{svc} has {n} replicas.")
    return await begun(talk, applied.deployment)


@verb("resume SVC", Action.DEPLOY, writes=True)
async def resume(talk: Talk, *, svc: str) -> Reply:
    """Lifts a hold, and deploys the newest release if there is a newer one."""
    return Reply(f"The hold of {svc} is lifted: {await talk.commands.resume(svc)}.")


@verb("hold SVC -- REASON", Action.MANAGE, writes=True)
async def hold(talk: Talk, *, svc: str, reason: str) -> Reply:
    """Pushes are recorded but not deployed, until `resume`.

    Example: `/o8 hold web -- the database is being moved`
    """
    await talk.commands.hold(svc, reason)
    return Reply(f"{svc} is on hold.", buttons=(Button("Resume", f"resume {svc}"),))


@verb("approve ID", Action.DEPLOY, writes=True)
async def approve(talk: Talk, *, id: int) -> Reply:
    """Lets a deployment run that waits for approval; never your own."""
    return await begun(talk, await talk.commands.approve(id))


@verb("reject ID [-- REASON]", Action.DEPLOY, writes=True)
async def reject(talk: Talk, *, id: int, reason: str = "") -> Reply:
    """Ends a deployment that waits for approval, and says why; never your own.

    Example: `/o8 reject 12 -- not before the release`
    """
    if not reason:
        fields = (Field("reason", "Why?"),)
        return Reply("Why is it rejected?", form=Form("reject", f"Reject {id}", "Reject", fields, {"id": str(id)}))
    rejected = await talk.commands.reject(id, reason)
    return Reply(f"Deployment {id} of {rejected.service} {rejected.release} is rejected.")


@form("reject", None)
async def reject_form(talk: Talk, *, id: str, reason: str) -> Reply:
    """What the form of `reject` asks for; the right is checked where it is carried out."""
    return await reject(talk, id=int(id), reason=reason)


@verb("cancel ID", Action.DEPLOY, writes=True)
async def cancel(talk: Talk, *, id: int) -> Reply:
    """Cancels a deployment that has not switched yet."""
    found = await talk.commands.cancel(id)
    return Reply(f"Deployment {id} of {found.service} {found.release} is being cancelled.")


async def begun(talk: Talk, deployment: Deployment) -> Reply:
    """What came of a wish, and where it can be watched."""
    channel = (await talk.services.store.channel_of(deployment.service)).channel
    where = f"its card is in {names.channel(channel or talk.services.settings.slack_channel)}"
    release = deployment.release if deployment.tag or deployment.digest else "its newest release"
    what = {
        Kind.DEPLOY: f"to {release}", Kind.ROLLBACK: f"back to {release}", Kind.RESTART: "for a restart",
        Kind.START: "for a start", Kind.CONFIGURE: "with what was changed",
    }[deployment.kind]  # fmt: skip
    words = f"Deployment {deployment.id} of {deployment.service} {what}"
    if deployment.state is State.WAITING:
        return Reply(f"{words} waits for approval by somebody else; {where}.")
    return Reply(f"{words} is {deployment.state}; {where}.")


async def _known(talk: Talk, svc: str, release: str) -> str:
    """The tag or digest that people mean by `5`, `#12` or the beginning of a digest; others are looked up later."""
    releases = await talk.services.store.releases(svc)
    try:
        known = release_named(releases, release, svc)
        return known.tag if _is_same_number(known.tag, release) else known.digest
    except NotFound:
        if release.startswith("#"):
            raise
    tags = await talk.services.follower.tags(svc)
    return next((tag for tag in tags if _is_same_number(tag, release)), release)


def _is_same_number(tag: str, release: str) -> bool:
    """`0005` is what `5` means; other tags are only what they are."""
    return tag == release or (tag.isdecimal() and release.isdecimal() and int(tag) == int(release))


async def _foretold(talk: Talk, svc: str, release: str) -> Reply:
    """What a deployment would do now."""
    service = await talk.services.store.service(svc)
    tag = await _known(talk, svc, release) if release else await talk.services.follower.newest(svc)
    if not tag:
        raise NotFound(f"{svc} follows no tag that the registry has.", f"`/o8 config {svc}` shows its policy.")
    live = await talk.services.store.deployment(service.live) if service.live else None
    digest = await talk.services.follower.digest_of(svc, tag)
    now = f"Now: {live.release} ({live.digest[7:19]})." if live else "Now: nothing."
    details = [now, f"Then: {tag} ({digest[7:19]})."]
    if live and live.configuration.fingerprint != service.configuration.fingerprint:
        details.append(f"Its configuration changes too: `/o8 diff {svc}`.")
    if service.hold or service.lock:
        details.append(f"`/o8 status {svc}` says what hinders it.")
    is_same = live is not None and live.digest == digest
    verdict = "runs already; nothing would change" if is_same else "would be deployed"
    button = Button("Deploy", f"deploy {svc} {tag}", "primary")
    return Reply(f"{tag} of {svc} {verdict}.", tuple(details), buttons=(button,))


def _deploy_form() -> Form:
    fields = (
        Field("svc", "Service", "choice", source="services"),
        Field("release", "Release", "choice", hint="Empty: the newest.", is_optional=True, source="releases"),
        Field("reason", "Why?", is_optional=True),
    )
    return Form("deploy", "Deploy a service", "Deploy", fields)
