"""Every failure o8 can name. Foreign libraries' errors become these where the library is called, nowhere else.

    O8Error
    ├── SettingsError        settings are wrong; carries every problem found
    ├── InvalidInput         what was asked for makes no sense                      (400)
    ├── NotFound             no such service, deployment, release                   (404)
    ├── Conflict             makes sense, but not now: nothing to cancel            (409)
    │   ├── Locked               somebody has locked the service; names it
    │   └── ChangedMeanwhile     somebody else changed it since it was read; look again
    ├── Forbidden            the one who asks has no right to it                     (403)
    ├── LoginRefused         name, password, token or session is wrong              (401)
    ├── TooManyTries         wrong passwords, again and again                       (429)
    ├── StoreUnavailable     SQLite is busy, full or damaged                        (503)
    ├── RegistryError        the registry's answer ends the attempt
    │   ├── WrongCredentials     name or password refused
    │   ├── AccessDenied         credentials fine, but no right to this image
    │   ├── ImageNotFound        no such image or tag (may still appear: `is_transient`)
    │   ├── WrongPlatform        the image is not built for this machine
    │   └── RegistryUnavailable  rate limit, 5xx, no connection (`is_transient`)
    ├── GitHubError          GitHub's API answers what o8 cannot use
    │   ├── GitHubRefused        a status such as 404; which one is in `status`
    │   │   └── GitHubNotInstalled   the App has no installation at that owner
    │   └── GitHubUnavailable    rate limit, 5xx, silence (`is_transient`)
    ├── EngineError          Docker refused or failed
    │   ├── EngineUnavailable    the daemon does not answer
    │   ├── DiskFull             not enough space to pull
    │   └── PullFailed           the image could not be fetched whole
    ├── CandidateFailed      the new containers did not become healthy; carries their last lines
    ├── CertificateError     no certificate could be had, or it cannot be used
    └── NginxError           the site could not be made live
        ├── ForeignBreakage      somebody else's file breaks `nginx -t`; named, untouched
        └── NotLive              commands returned 0, but nginx still serves the old text

To add one: subclass the nearest parent, give it a `code`, and a row in `handlers/errors.py` if the status differs.
"""

from __future__ import annotations

from collections.abc import Sequence


class O8Error(Exception):
    """A failure that a person can read.

    `message` is one clear sentence about what happened; `next_step` is one about what to do.
    `code` is stable: programs, tests and docs refer to it.
    """

    code = "error"
    is_transient = False  # worth trying again without anybody changing anything

    def __init__(self, message: str, next_step: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.next_step = next_step

    def __str__(self) -> str:
        return f"{self.message} {self.next_step}".strip()


class SettingsError(O8Error):
    """One or more settings are wrong. `problems` holds one line for each."""

    code = "settings"

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("Settings are wrong:\n" + "\n".join(f"  - {problem}" for problem in problems))
        self.problems = tuple(problems)


class InvalidInput(O8Error):
    code = "invalid_input"


class NotFound(O8Error):
    """`suggestions` are existing names close to the unknown one."""

    code = "not_found"

    def __init__(self, message: str, next_step: str = "", suggestions: Sequence[str] = ()) -> None:
        if suggestions:
            next_step = f"Did you mean {' or '.join(suggestions)}?"
        super().__init__(message, next_step)
        self.suggestions = tuple(suggestions)


class Conflict(O8Error):
    code = "conflict"


class Locked(Conflict):
    """`service` is locked; who asks for it in words of their own finds the lock there."""

    def __init__(self, message: str, next_step: str, service: str) -> None:
        super().__init__(message, next_step)
        self.service = service


class ChangedMeanwhile(Conflict):
    """Somebody else changed it between reading and writing: who reads it again can go on."""


class Forbidden(O8Error):
    """`action` is missing in `scope`; `granters` are the users who can give it. Empty: the one who asks is unknown."""

    code = "forbidden"

    def __init__(
        self, message: str, next_step: str = "", *, action: str = "", scope: str = "", granters: Sequence[str] = ()
    ) -> None:
        super().__init__(message, next_step)
        self.action = action
        self.scope = scope
        self.granters = tuple(granters)


class LoginRefused(O8Error):
    """Says no more than that: whether a name exists stays secret."""

    code = "login_refused"


class TooManyTries(O8Error):
    """`retry_after` in seconds."""

    code = "too_many_tries"
    is_transient = True

    def __init__(self, retry_after: float) -> None:
        super().__init__("There were too many wrong logins.", f"Wait {retry_after:.0f} seconds, then try again.")
        self.retry_after = retry_after


class StoreUnavailable(O8Error):
    code = "store_unavailable"
    is_transient = True


class RegistryError(O8Error):
    code = "registry"


class WrongCredentials(RegistryError):
    code = "wrong_credentials"


class AccessDenied(RegistryError):
    code = "access_denied"


class ImageNotFound(RegistryError):
    code = "image_not_found"
    is_transient = True  # a tag that was just pushed can lag on GHCR


class WrongPlatform(RegistryError):
    code = "wrong_platform"


class RegistryUnavailable(RegistryError):
    """`retry_after` is the registry's own wish in seconds, 0 when it named none."""

    code = "registry_unavailable"
    is_transient = True

    def __init__(self, message: str, next_step: str = "", retry_after: float = 0) -> None:
        super().__init__(message, next_step)
        self.retry_after = retry_after


class GitHubError(O8Error):
    code = "github"


_GITHUB_SAYS = {
    401: "Check the token, or the App's key and this machine's clock: `o8 doctor` tries them.",
    403: "Check what the token or App may.",
    404: "404 also means no access: check what the token or App may.",
}


class GitHubRefused(GitHubError):
    """`status` is GitHub's; 404 also means that there is no access."""

    code = "github_refused"

    def __init__(self, status: int, what: str, message: str) -> None:
        super().__init__(
            f"GitHub answered {status} to {what}: {message.rstrip('.') or 'without a reason'}.",
            _GITHUB_SAYS.get(status, ""),
        )
        self.status = status


class GitHubNotInstalled(GitHubRefused):
    """The GitHub App is not installed at `owner`."""

    code = "github_not_installed"

    def __init__(self, owner: str) -> None:
        super().__init__(404, f"the App's installation at {owner}", "")
        self.message = f"The GitHub App is not installed at {owner}."
        self.next_step = f"At GitHub, in the App's settings, choose Install App and {owner} with its repositories."
        self.owner = owner


class GitHubUnavailable(GitHubError):
    """`retry_after`: GitHub's own wish in seconds, 0 when it named none."""

    code = "github_unavailable"
    is_transient = True

    def __init__(self, message: str, next_step: str = "", retry_after: float = 0) -> None:
        super().__init__(message, next_step)
        self.retry_after = retry_after


class EngineError(O8Error):
    code = "engine"


class EngineUnavailable(EngineError):
    code = "engine_unavailable"
    is_transient = True


class DiskFull(EngineError):
    code = "disk_full"


class PullFailed(EngineError):
    """`is_transient` is set per instance: a cut connection is, a corrupt layer is not."""

    code = "pull_failed"

    def __init__(self, message: str, next_step: str = "", *, is_transient: bool = False) -> None:
        super().__init__(message, next_step)
        self.is_transient = is_transient


class CandidateFailed(O8Error):
    """`log` holds the container's last lines, secrets already masked; `exit_code` is None while it runs."""

    code = "candidate_failed"

    def __init__(self, message: str, next_step: str = "", *, log: str = "", exit_code: int | None = None) -> None:
        super().__init__(message, next_step)
        self.log = log
        self.exit_code = exit_code


class CertificateError(O8Error):
    """`names` are those that stand in the way of the others. `is_refusal`: the authority was asked, and is not asked
    again soon.
    """

    code = "certificate"

    def __init__(
        self, message: str, next_step: str = "", names: Sequence[str] = (), *, is_refusal: bool = False
    ) -> None:
        super().__init__(message, next_step)
        self.names = frozenset(names)
        self.is_refusal = is_refusal
        self.is_transient = False  # of files that cannot be read at the moment, though they may be good


class NginxError(O8Error):
    code = "nginx"


class ForeignBreakage(NginxError):
    code = "foreign_breakage"


class NotLive(NginxError):
    code = "not_live"
