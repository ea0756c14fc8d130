"""What the card of a certificate says: missing, about to end, over, and good again. Pure."""

from __future__ import annotations

from bot.chat import CertificateAlarm
from bot.notifiers.slack.blocks import Message, context, message, section
from bot.notifiers.slack.text import escaped, named

RENEW = 'Whoever made it has to renew it: o8 does that for sites with `tls = "auto"`.'
_STEP = "`o8 doctor` on the server says what to do; docs/tls.md has more."


def certificate_card(alarm: CertificateAlarm) -> Message:
    service = named(alarm.service)
    day = f"{alarm.ends_at:%Y-%m-%d}" if alarm.ends_at else ""
    if alarm.ended_at:
        text = f"{service} has a good certificate, until {day}." if day else f"{service} needs no certificate any more."
        return message(text, [section(f":white_check_mark: {text}")])
    symbol, text, means = {
        "missing": (":warning:", f"{service} has no certificate", "Visitors get it by HTTP until there is one."),
        "ending": (":warning:", f"The certificate of {service} ends on {day}", alarm.trouble or RENEW),
        "over": (":rotating_light:", f"The certificate of {service} is over since {day}", "Browsers refuse the site."),
    }[alarm.level]
    if alarm.level == "missing" and day:
        text = f"{service} has no certificate for some of its names"
        means = "Visitors get these by HTTP."
    why = escaped(alarm.trouble, 1200) if alarm.trouble and alarm.trouble != means else ""
    said = " ".join(part for part in (why, escaped(means, 1200)) if part)
    return message(f"{text}. {said}", [section(f"{symbol} *{text}*. {said}"), context(_STEP)])
