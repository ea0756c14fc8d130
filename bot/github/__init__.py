"""GitHub's REST API as far as o8 needs it. To add a call: a method in the module of its subject.

https://docs.github.com/en/rest. `transport` speaks HTTP, `login` knows who asks, the others know what is asked.
"""

from __future__ import annotations

from bot.github.access import Access
from bot.github.login import AppLogin, Login, TokenLogin
from bot.github.transport import Answer, GitHub

__all__ = ["Access", "Answer", "AppLogin", "GitHub", "Login", "TokenLogin"]
