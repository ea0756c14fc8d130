"""Who o8 is at GitHub, by its settings: an App, a person's token, both, or nobody."""

from __future__ import annotations

from bot.github.login import AppLogin, Login, TokenLogin


class Access:
    """`person` may list packages, which an App may not; `app` is None where none is set."""

    def __init__(self, token: str, app_id: str, app_key: str) -> None:
        """Raises `SettingsError` when `app_key` is no private key in PEM."""
        self.person = TokenLogin(token)
        self.has_token = bool(token)
        self.app = AppLogin(app_id, app_key) if app_id else None

    def of(self, owner: str) -> Login:
        """For repositories of `owner`: the App's installation there, or the person."""
        return self.app.of(owner) if self.app else self.person
