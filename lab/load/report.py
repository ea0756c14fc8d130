"""What a load has seen so far. Goes through JSON unchanged, so that another process can hand it over."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field
from typing import NamedTuple, Self

SAMPLE = 200  # failures kept whole; all of them are counted


class Failure(NamedTuple):
    """`at` is in seconds since the epoch."""

    kind: str
    at: float
    reason: str


@dataclass
class Tally:
    """Requests that have ended. For WebSockets, each message, failed connection and abnormal end is one."""

    requests: int = 0
    failed: int = 0
    longest_s: float = 0


@dataclass
class Seen:
    """Answers of one version; `first` and `last` in seconds since the epoch."""

    first: float
    last: float
    answers: int = 0


@dataclass
class Report:
    """Counts while the load runs. `reasons` counts every failure by kind and reason."""

    began: float = field(default_factory=time.time)
    seconds: float = 0
    by_kind: dict[str, Tally] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    versions: dict[str, Seen] = field(default_factory=dict)

    @property
    def requests(self) -> int:
        return sum(tally.requests for tally in self.by_kind.values())

    @property
    def failed(self) -> int:
        return sum(tally.failed for tally in self.by_kind.values())

    def succeed(self, kind: str, took_s: float, version: str = "") -> None:
        tally = self._tally(kind)
        tally.longest_s = max(tally.longest_s, took_s)
        if version:
            seen = self.versions.setdefault(version, Seen(time.time(), 0))
            seen.last = time.time()
            seen.answers += 1

    def fail(self, kind: str, reason: str) -> None:
        self._tally(kind).failed += 1
        name = f"{kind}: {reason}"
        self.reasons[name] = self.reasons.get(name, 0) + 1
        if len(self.failures) < SAMPLE:
            self.failures.append(Failure(kind, time.time(), reason))

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        values = json.loads(text)
        values["by_kind"] = {kind: Tally(**tally) for kind, tally in values["by_kind"].items()}
        values["versions"] = {version: Seen(**seen) for version, seen in values["versions"].items()}
        values["failures"] = [Failure(*failure) for failure in values["failures"]]
        return cls(**values)

    def __str__(self) -> str:
        lines = [f"{self.requests:,} requests in {self.seconds:.1f} s, {self.failed:,} failed"]
        for kind, tally in self.by_kind.items():
            counts = f"{tally.requests:>10,} {tally.failed:>6,} failed"
            lines.append(f"  {kind:<10}{counts}  longest {tally.longest_s:.3f} s")
        lines += [f"  {count:,} x {reason}" for reason, count in self.reasons.items()]
        for version, seen in self.versions.items():
            first, last = seen.first - self.began, seen.last - self.began
            lines.append(f"  version {version}: {seen.answers:,} answers from {first:.2f} s to {last:.2f} s")
        return "\n".join(lines)

    def _tally(self, kind: str) -> Tally:
        """With one more request counted."""
        tally = self.by_kind.setdefault(kind, Tally())
        tally.requests += 1
        self.seconds = time.time() - self.began
        return tally
