"""When the channel is left alone: quiet hours and mutes. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import NamedTuple, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from bot.errors import SettingsError


class QuietHours(NamedTuple):
    """Between `start` and `end` of each day in `zone`; over midnight when `end` is earlier. Equal: never."""

    start: time
    end: time
    zone: ZoneInfo

    @classmethod
    def read(cls, text: str) -> Self | None:
        """Of SLACK_QUIET_HOURS, such as `22:00-07:00 Europe/Berlin`; raises `SettingsError`."""
        if not text:
            return None
        span, _, zone = text.partition(" ")
        start, _, end = span.partition("-")
        try:
            return cls(_time(start), _time(end), ZoneInfo(zone.strip() or "UTC"))
        except (ValueError, ZoneInfoNotFoundError, OSError) as wrong:  # OSError: `Europe` is a folder
            raise SettingsError([f"SLACK_QUIET_HOURS = {text!r}: {wrong}; such as 22:00-07:00 Europe/Berlin"]) from None

    def ends(self, at: datetime) -> datetime | None:
        """When the quiet hours that `at` is in end; None outside of them."""
        local = at.astimezone(self.zone)
        is_over_midnight = self.end < self.start
        now = local.time()
        is_in = (now >= self.start or now < self.end) if is_over_midnight else self.start <= now < self.end
        if not is_in:
            return None
        day = local.date() + timedelta(days=1 if is_over_midnight and now >= self.start else 0)
        # In an hour that a day has twice, the end is in the same one of the two as `at`.
        return datetime.combine(day, self.end.replace(fold=local.fold), self.zone).astimezone(UTC)


def _time(text: str) -> time:
    found = time.fromisoformat(text)
    if found.tzinfo:
        raise ValueError(f"{text} has a zone of its own")
    return found
