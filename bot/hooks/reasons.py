"""Why deliveries do not arrive, and what to do about it, in sentences. Pure."""

from __future__ import annotations

from collections.abc import Iterator

import orjson

from bot.errors import GitHubRefused
from bot.findings import Finding, fault, ok, warning
from bot.github.hooks import APP, Hook, Sent, is_same_address
from bot.models import Delivery

PACKAGE_EVENTS = frozenset({"package", "registry_package", "*"})
_SITE = "examples/nginx/o8.conf is a site that does it right."


def needed(place: str) -> str:
    """Which right the webhooks of `place` (`orgs/acme`, `repos/acme/web`, `app`) need, as a sentence."""
    kind, _, name = place.partition("/")
    if kind == APP:
        return "The App needs an active webhook: it is switched on in the App's settings at GitHub."
    scope, who = (
        ("admin:org_hook", "own the organization") if kind == "orgs" else ("admin:repo_hook", "administer it")
    )  # fmt: skip
    return f"For the webhooks of {name} a classic token needs `{scope}`, and its person must {who}."


def remedy(place: str, refusal: GitHubRefused) -> str:
    """What to do about a refusal at `place`: with a login that GitHub does not know, rights are not the matter."""
    if refusal.status != 401:
        return needed(place)
    if place == APP:
        return "Check GITHUB_APP_ID, GITHUB_APP_KEY and this machine's clock: `o8 doctor` tries them."
    return f"GITHUB_PAT has ended, or was taken back: make a new one. {needed(place)}"


def setup_of(place: str) -> str:
    """The command that makes or mends the webhook of `orgs/acme` or `repos/acme/web`."""
    owner, _, repository = place.partition("/")[2].partition("/")
    return f"o8 github setup {owner}{f' --repo {repository}' if repository else ''}"


def not_seen(place: str, refusal: GitHubRefused) -> Finding:
    """The webhooks of `place`."""
    name = place.partition("/")[2] or "the App"
    return fault(f"webhook of {name}", f"It cannot be seen. {refusal.message}", remedy(place, refusal))


def not_installed(owner: str) -> Finding:
    return fault(f"App at {owner}", f"It is not installed at {owner}, so it hears nothing from there.",
                 "Install it: the App's page at GitHub, Install App.")  # fmt: skip


def unlinked(image: str) -> Finding:
    return fault(
        image, "This package is linked to no repository, so webhooks of repositories hear nothing of it.",
        "Push it with the label org.opencontainers.image.source (examples/build-push.sh sets it), or link it in the "
        "package's settings: Connect repository.",
    )  # fmt: skip


def of_hook(subject: str, hook: Hook, setup: str) -> Iterator[Finding]:
    """What is wrong with how a hook is set. `setup`: the command that mends it."""
    if not hook.is_active:
        yield fault(subject, f"The webhook to {hook.url} is switched off.", f"`{setup}` switches it on.")
    if not PACKAGE_EVENTS & set(hook.events):
        heard = ", ".join(hook.events) or "nothing"
        yield fault(subject, f"It is sent for {heard}, and not for packages.", _of_events(hook, setup))
    if hook.content_type not in ("json", "form"):
        yield fault(subject, f"Its content type is {hook.content_type!a:.40}, which o8 does not read.",
                    f"`{setup}` sets JSON.")  # fmt: skip
    elif hook.content_type == "form":
        yield warning(subject, "Its content type is a form. o8 reads it, but JSON is a third smaller.",
                      f"`{setup}` sets JSON.")  # fmt: skip
    if not hook.has_secret:
        yield fault(subject, "It has no secret, so o8 refuses what it sends (401).", f"`{setup}` sets the secret.")
    if not hook.checks_tls:
        yield warning(subject, "GitHub does not check the certificate of o8's address.", f"`{setup}` sets that.")


def of_elsewhere(subject: str, hooks: list[Hook], url: str, setup: str) -> Finding:
    """None of `hooks` delivers to `url`."""
    near = next((hook for hook in hooks if "/webhooks/github" in hook.url or _is_same_host(hook.url, url)), None)
    if near:
        return fault(subject, f"No webhook delivers to {url}; one delivers to {near.url}.",
                     f"`{setup}` makes one. If the other address is meant, set PUBLIC_URL to it.")  # fmt: skip
    return fault(subject, f"No webhook delivers to {url}.", f"`{setup}` makes one.")


def of_arrival(subject: str, sent: Sent, known: Delivery | None, answer: str, url: str) -> Finding:
    """GitHub has a 2xx for `sent`. `known`: what o8 has of it; `answer`: what GitHub was told."""
    at = f"{sent.at:%Y-%m-%d %H:%M} UTC"
    if known is None and sent.guid not in answer:
        return fault(subject, f"GitHub got {sent.status_code} for the delivery of {at}, but not from this o8.",
                     f"Something else answers at {url}. {_SITE}")  # fmt: skip
    if known is None:
        return ok(subject, f"The delivery of {at} arrived; o8 had its content already.")
    what = f"{known.image}:{known.tag}" if known.image else known.event
    if known.verdict == "failed":
        return fault(subject, f"{what} arrived at {at}, and could not be used: {'; '.join(known.ignored)}",
                     f"`o8 deliveries {known.id}`; when it is mended, the next look finds what is new.")  # fmt: skip
    if known.verdict == "ignored":
        return ok(subject, f"{what} arrived at {at}, and was ignored: {'; '.join(known.ignored)}.")
    return ok(subject, f"{what} arrived at {at}, for {' '.join(known.accepted)}.")


def of_failure(subject: str, sent: Sent, answer: str, url: str, setup: str, *, is_mended: bool = False) -> Finding:
    """GitHub has no 2xx for `sent`; `answer` is what came back. `is_mended`: a ping has arrived after it."""
    what = f"The {sent.event} delivery of {sent.at:%Y-%m-%d %H:%M} UTC"
    message, next_step = _why(sent, answer, url, setup)
    if is_mended:
        return warning(subject, f"{what} did not arrive: {message} A ping has arrived since then.",
                       "Nothing: o8 has it delivered again, and `o8 github check` then tells of that.")  # fmt: skip
    return fault(subject, f"{what} did not arrive: {message}", next_step)


def _why(sent: Sent, answer: str, url: str, setup: str) -> tuple[str, str]:
    code, detail = _problem(answer)
    status = sent.status.lower()
    from_outside = f"From outside, `curl -i {url}` must answer 405, which is o8's."
    if code == "bad_signature":
        return ("the secret is wrong (o8 answered 401).", f"`{setup}` gives GitHub the first GITHUB_WEBHOOK_SECRET.")
    if code:
        return f"o8 answered {sent.status_code}: {detail}", "`o8 github check` again when that is mended."
    if "ssl" in status or "certificate" in status or "tls" in status:
        return f"GitHub does not trust the certificate ({sent.status}).", f"`curl -v {url}` shows it; docs/tls.md."
    if sent.status_code in (0, 502, 504) and "http response" not in status:
        return (f"GitHub cannot reach {url} ({sent.status or 'no answer'}).",
                f"{from_outside} Look at DNS, firewall and nginx.")  # fmt: skip
    return _of_front(sent.status_code, url, from_outside)


def _of_front(status: int, url: str, from_outside: str) -> tuple[str, str]:
    """What stands before o8 has answered."""
    if status in (301, 302, 303, 307, 308):
        return f"{url} redirects ({status}), which GitHub does not follow.", "Set PUBLIC_URL to where it leads."
    if status in (401, 403):
        return f"what stands before o8 wants a login ({status}).", f"Let POST /webhooks/github through. {_SITE}"
    if status in (404, 405):
        return f"what answers at {url} is not o8 ({status}).", f"nginx must pass it on to o8. {_SITE}"
    if status == 413:
        return "nginx takes no body of that size (413).", f"Set `client_max_body_size 25m`. {_SITE}"
    if status in (502, 503, 504):
        return f"nginx answers, but not o8 ({status}).", "Is o8 running? `systemctl status orchestr8`."
    return f"the answer was {status}.", from_outside


def _of_events(hook: Hook, setup: str) -> str:
    if hook.path == "/app/hook":
        return "In the App's settings at GitHub: Permissions, Packages: read; Subscribe to events, Registry package."
    return f"`{setup}` sets that."


def _problem(answer: str) -> tuple[str, str]:
    """Code and sentence of an answer of o8's own; empty when it is another one's."""
    try:
        found = orjson.loads(answer)
    except orjson.JSONDecodeError:
        return "", ""
    is_ours = isinstance(found, dict) and {"code", "detail", "next_step"} <= found.keys()
    return (str(found["code"]), str(found["detail"])[:300]) if is_ours else ("", "")


def _is_same_host(one: str, two: str) -> bool:
    return is_same_address("/".join(one.split("/")[:3]) + "/", "/".join(two.split("/")[:3]) + "/")
