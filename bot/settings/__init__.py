"""Settings: read once from the environment and a `.env` file, and checked whole."""

from __future__ import annotations

from bot.settings.fields import SECRETS, Settings
from bot.settings.source import data_dir, default_data_dir, load

__all__ = ["SECRETS", "Settings", "data_dir", "default_data_dir", "load"]
