"""From which commit of which repository a pushed image is, as deliveries have told; for images whose labels do not say.

What the poller, a person or a restart deploys has no delivery of its own, and the delivery of the same push may have
come before (held, or used by nobody) or come after.
"""

from __future__ import annotations

from sqlite_utils import Database

from bot.webhooks import PackageEvent

KEPT = 20_000


def learn(db: Database, package: PackageEvent) -> None:
    """Inside the transaction of a genuine delivery. What is under way, or serves, is told of it, too."""
    if not (package.digest and package.commit and package.repository):
        return
    db.execute(
        "INSERT OR REPLACE INTO origins VALUES (?, ?, ?, ?)",
        [package.image, package.digest, package.commit, package.repository],
    )
    db.execute("DELETE FROM origins WHERE rowid <= (SELECT max(rowid) FROM origins) - ?", [KEPT])
    concerned = db.execute(
        """SELECT id FROM deployments WHERE image = ? AND digest = ? AND ("commit" = '' OR repository = '')
            AND (state NOT IN (SELECT state FROM ended_states) OR id IN (SELECT live FROM services))""",
        [package.image, package.digest],
    ).fetchall()
    for (id,) in concerned:
        fill(db, id)
        db.execute("UPDATE told SET is_open = 1 WHERE deployment = ?", [id])


def fill(db: Database, id: int) -> None:
    """What the image of a deployment does not say itself."""
    db.execute(
        """UPDATE deployments SET "commit" = iif(deployments."commit" = '', o."commit", deployments."commit"),
            repository = iif(deployments.repository = '', o.repository, deployments.repository)
        FROM origins AS o WHERE id = ? AND o.image = deployments.image AND o.digest = deployments.digest""",
        [id],
    )
