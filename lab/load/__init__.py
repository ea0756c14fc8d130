"""Load on a site that counts truthfully: whatever a visitor would notice is a failure, nothing is retried.

    load = Load(Target("127.0.0.1", 8080, "web.example.org"), Mix(get=8, websocket=2), rate=200)
    load.start()
    ...                                  # `load.report` counts meanwhile
    report = await load.stop()

`LoadProcess` is the same in a process of its own, as is `python -m lab.load --url ...`.
"""

from lab.load.connection import Target
from lab.load.process import LoadProcess
from lab.load.report import Failure, Report
from lab.load.workers import Load, Mix

__all__ = ["Failure", "Load", "LoadProcess", "Mix", "Report", "Target"]
