"""The schema, as ordered steps. To change it: add a function at the end; never edit one that was released."""

from __future__ import annotations

from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

schema = Migrations("orchestr8")


@schema()
def m0001_first(db: Database) -> None:
    for statement in (
        "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
        """CREATE TABLE services (
            name TEXT PRIMARY KEY, configuration TEXT NOT NULL, block INTEGER NOT NULL UNIQUE,
            environment_revision INTEGER NOT NULL DEFAULT 0, hold TEXT, lock TEXT,
            is_stopped INTEGER NOT NULL DEFAULT 0, live INTEGER REFERENCES deployments (id),
            created_at TEXT NOT NULL)""",
        """CREATE TABLE deployments (
            id INTEGER PRIMARY KEY AUTOINCREMENT, service TEXT NOT NULL, kind TEXT NOT NULL, state TEXT NOT NULL,
            actor TEXT NOT NULL, reason TEXT NOT NULL DEFAULT '', image TEXT NOT NULL, tag TEXT NOT NULL DEFAULT '',
            digest TEXT NOT NULL DEFAULT '', "commit" TEXT NOT NULL DEFAULT '', delivery TEXT NOT NULL DEFAULT '',
            is_automatic INTEGER NOT NULL DEFAULT 0,
            target INTEGER REFERENCES deployments (id), configuration TEXT NOT NULL,
            environment_revision INTEGER NOT NULL DEFAULT 0, slot TEXT, previous INTEGER REFERENCES deployments (id),
            attempts INTEGER NOT NULL DEFAULT 0, created_at TEXT NOT NULL, started_at TEXT, switched_at TEXT,
            finished_at TEXT, error_code TEXT NOT NULL DEFAULT '', error TEXT NOT NULL DEFAULT '',
            next_step TEXT NOT NULL DEFAULT '', log TEXT NOT NULL DEFAULT '', exit_code INTEGER)""",
        "CREATE INDEX deployments_of_service ON deployments (service, id)",
        "CREATE INDEX deployments_by_state ON deployments (state)",
        """CREATE TABLE steps (
            id INTEGER PRIMARY KEY, deployment INTEGER NOT NULL REFERENCES deployments (id), state TEXT NOT NULL,
            started_at TEXT NOT NULL, ended_at TEXT, detail TEXT NOT NULL DEFAULT '{}')""",
        "CREATE INDEX steps_of_deployment ON steps (deployment)",
        """CREATE TABLE deliveries (
            id TEXT PRIMARY KEY, event TEXT NOT NULL, received_at TEXT NOT NULL, body BLOB, body_digest TEXT NOT NULL,
            verdict TEXT NOT NULL, accepted TEXT NOT NULL, ignored TEXT NOT NULL, image TEXT NOT NULL DEFAULT '',
            tag TEXT NOT NULL DEFAULT '', processed_at TEXT, duplicates INTEGER NOT NULL DEFAULT 0)""",
        "CREATE INDEX deliveries_by_digest ON deliveries (body_digest)",
        "CREATE INDEX deliveries_by_time ON deliveries (received_at)",
        """CREATE TABLE environments (
            service TEXT NOT NULL, revision INTEGER NOT NULL, sealed BLOB NOT NULL, names TEXT NOT NULL,
            actor TEXT NOT NULL, created_at TEXT NOT NULL, PRIMARY KEY (service, revision))""",
        """CREATE TABLE images (
            image TEXT NOT NULL, digest TEXT NOT NULL, service TEXT NOT NULL, pulled_at TEXT NOT NULL,
            PRIMARY KEY (image, digest, service))""",
        """CREATE TABLE audit (
            id INTEGER PRIMARY KEY, at TEXT NOT NULL, actor TEXT NOT NULL, action TEXT NOT NULL, subject TEXT NOT NULL,
            detail TEXT NOT NULL, previous TEXT NOT NULL, hash TEXT NOT NULL)""",
    ):
        db.execute(statement)


@schema()
def m0002_people(db: Database) -> None:
    for statement in (
        """CREATE TABLE users (
            username TEXT PRIMARY KEY, is_active INTEGER NOT NULL DEFAULT 1, created_at TEXT NOT NULL)""",
        """CREATE TABLE grants (
            username TEXT NOT NULL REFERENCES users (username) ON DELETE CASCADE, scope TEXT NOT NULL,
            action TEXT NOT NULL, granted_by TEXT NOT NULL, granted_at TEXT NOT NULL, expires_at TEXT,
            PRIMARY KEY (username, scope, action))""",
        """CREATE TABLE slack_users (
            team TEXT NOT NULL, slack_user TEXT NOT NULL,
            username TEXT NOT NULL REFERENCES users (username) ON DELETE CASCADE,
            is_active INTEGER NOT NULL DEFAULT 1, PRIMARY KEY (team, slack_user))""",
        """CREATE TABLE access_requests (
            id INTEGER PRIMARY KEY AUTOINCREMENT, username TEXT NOT NULL, actor TEXT NOT NULL, scope TEXT NOT NULL,
            action TEXT NOT NULL, reason TEXT NOT NULL, state TEXT NOT NULL DEFAULT 'open', decided_by TEXT,
            created_at TEXT NOT NULL, decided_at TEXT)""",
        "ALTER TABLE deployments ADD COLUMN approved_by TEXT NOT NULL DEFAULT ''",
    ):
        db.execute(statement)


@schema()
def m0003_chat(db: Database) -> None:
    for statement in (
        # A card is wanted as its subject is now, and was shown as it was at `shown`: see bot/store/cards.py.
        """CREATE TABLE cards (
            id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, subject TEXT NOT NULL,
            service TEXT NOT NULL DEFAULT '', wanted INTEGER NOT NULL DEFAULT 1, shown INTEGER NOT NULL DEFAULT 0,
            is_final INTEGER NOT NULL DEFAULT 0, channel TEXT NOT NULL DEFAULT '', ts TEXT NOT NULL DEFAULT '',
            attempted_at TEXT, shown_at TEXT, failures INTEGER NOT NULL DEFAULT 0, not_before TEXT,
            changed_at TEXT NOT NULL, UNIQUE (kind, subject))""",
        "CREATE INDEX cards_to_show ON cards (id) WHERE shown < wanted",
        "CREATE TABLE channels (service TEXT PRIMARY KEY, channel TEXT NOT NULL DEFAULT '', muted_until TEXT)",
        """CREATE TABLE asks (
            id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, actor TEXT NOT NULL, text TEXT NOT NULL,
            place TEXT NOT NULL, state TEXT NOT NULL DEFAULT 'asked', created_at TEXT NOT NULL, ended_at TEXT)""",
        "CREATE INDEX asks_open ON asks (id) WHERE state <> 'done'",
        """CREATE TABLE packages (
            image TEXT PRIMARY KEY, tag TEXT NOT NULL DEFAULT '', digest TEXT NOT NULL DEFAULT '',
            state TEXT NOT NULL DEFAULT 'offered', first_seen TEXT NOT NULL, last_seen TEXT NOT NULL)""",
        "CREATE TABLE ended_states (state TEXT PRIMARY KEY)",
        """INSERT INTO ended_states VALUES ('succeeded'), ('unchanged'), ('failed'), ('rolled_back'), ('superseded'),
            ('cancelled'), ('held'), ('needs_attention')""",
        *_CARDS_OF_DEPLOYMENTS,
    ):
        db.execute(statement)


@schema()
def m0004_logins(db: Database) -> None:
    for statement in (
        """CREATE TABLE passwords (
            username TEXT PRIMARY KEY REFERENCES users (username) ON DELETE CASCADE, hash TEXT NOT NULL,
            changed_at TEXT NOT NULL)""",
        # The admin of AUTH_USERNAME has tokens and sessions, and no row in `users`.
        """CREATE TABLE tokens (
            id INTEGER PRIMARY KEY AUTOINCREMENT, username TEXT NOT NULL, name TEXT NOT NULL, hash TEXT NOT NULL UNIQUE,
            grants TEXT, created_at TEXT NOT NULL, expires_at TEXT)""",
        """CREATE TABLE sessions (
            hash TEXT PRIMARY KEY, username TEXT NOT NULL, csrf TEXT NOT NULL, agent TEXT NOT NULL,
            created_at TEXT NOT NULL, seen_at TEXT NOT NULL, expires_at TEXT NOT NULL)""",
        "CREATE INDEX sessions_of_user ON sessions (username)",
        """CREATE TABLE answers (
            actor TEXT NOT NULL, key TEXT NOT NULL, request TEXT NOT NULL, status INTEGER, body BLOB,
            created_at TEXT NOT NULL, PRIMARY KEY (actor, key))""",
        "CREATE INDEX answers_by_time ON answers (created_at)",
        """CREATE TABLE newest (
            service TEXT PRIMARY KEY REFERENCES services (name) ON DELETE CASCADE, tag TEXT NOT NULL,
            digest TEXT NOT NULL, looked_at TEXT NOT NULL)""",
    ):
        db.execute(statement)


@schema()
def m0005_changes(db: Database) -> None:
    for statement in (*_REVISIONS, *_COUNTERS):
        db.execute(statement)


@schema()
def m0006_catalogue(db: Database) -> None:
    for statement in (
        """CREATE TABLE catalogue (
            image TEXT PRIMARY KEY, owner TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL,
            repository TEXT NOT NULL, updated_at TEXT NOT NULL, versions INTEGER NOT NULL, seen_at TEXT NOT NULL)""",
        """CREATE TABLE catalogue_versions (
            image TEXT NOT NULL, id INTEGER NOT NULL, digest TEXT NOT NULL, tags TEXT NOT NULL, created_at TEXT,
            PRIMARY KEY (image, id))""",
        "CREATE INDEX catalogue_versions_by_digest ON catalogue_versions (image, digest)",
        """CREATE TABLE github_pages (
            url TEXT PRIMARY KEY, etag TEXT NOT NULL, images TEXT NOT NULL, next_page TEXT NOT NULL)""",
        *(f"ALTER TABLE deployments ADD COLUMN {name} TEXT NOT NULL DEFAULT ''" for name in ("repository", "pusher")),
        *(
            f"ALTER TABLE packages ADD COLUMN {name} TEXT NOT NULL DEFAULT ''"
            for name in ("delivery", '"commit"', "service", "note")
        ),
        *_TOLD,
        """CREATE TABLE origins (
            image TEXT NOT NULL, digest TEXT NOT NULL, "commit" TEXT NOT NULL, repository TEXT NOT NULL,
            PRIMARY KEY (image, digest))""",
        """CREATE TABLE changes (
            repository TEXT NOT NULL, base TEXT NOT NULL, head TEXT NOT NULL, content TEXT,
            PRIMARY KEY (repository, base, head))""",
        """CREATE TABLE github_users (
            login TEXT PRIMARY KEY, username TEXT NOT NULL REFERENCES users (username) ON DELETE CASCADE)""",
    ):
        db.execute(statement)


@schema()
def m0007_alarms(db: Database) -> None:
    for statement in (
        """CREATE TABLE disk_alarms (
            id INTEGER PRIMARY KEY AUTOINCREMENT, folder TEXT NOT NULL, level INTEGER NOT NULL, free INTEGER NOT NULL,
            total INTEGER NOT NULL, began_at TEXT NOT NULL, ended_at TEXT)""",
        """CREATE TABLE certificate_alarms (
            id INTEGER PRIMARY KEY AUTOINCREMENT, service TEXT NOT NULL, level TEXT NOT NULL, trouble TEXT NOT NULL,
            ends_at TEXT, began_at TEXT NOT NULL, ended_at TEXT)""",
        # Of what could not be had; kept, so that a restart does not ask the authority sooner.
        """CREATE TABLE certificate_failures (
            service TEXT PRIMARY KEY, names TEXT NOT NULL, trouble TEXT NOT NULL, tries INTEGER NOT NULL,
            failed_at TEXT NOT NULL)""",
    ):
        db.execute(statement)


_POSTED_ANEW = """UPDATE cards SET wanted = wanted + 1, changed_at = strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')
    WHERE kind = 'deployment' AND ts <> '' AND subject"""
# The cards of a service that may have a button: what serves, the newest, and the newest that was no mere wish or was
# taken back.
_WITH_BUTTONS = """IN (
    SELECT CAST(old.live AS TEXT)
    UNION SELECT CAST(max(id) AS TEXT) FROM deployments WHERE service = old.name
    UNION SELECT CAST(max(id) AS TEXT) FROM deployments WHERE service = old.name AND state <> 'held'
    UNION SELECT CAST(max(id) AS TEXT) FROM deployments WHERE service = old.name AND state = 'rolled_back')"""

# The wish to show a change is part of the change itself: no code path can forget it, no kill can part the two.
_CARDS_OF_DEPLOYMENTS = (
    """CREATE TRIGGER card_of_new_deployment AFTER INSERT ON deployments BEGIN
        INSERT INTO cards (kind, subject, service, is_final, changed_at) VALUES (
            'deployment', new.id, new.service, new.state IN (SELECT state FROM ended_states), new.created_at);
    END""",
    """CREATE TRIGGER card_of_changed_deployment AFTER UPDATE OF state, tag, digest ON deployments
    WHEN old.state <> new.state OR old.tag <> new.tag OR old.digest <> new.digest BEGIN
        UPDATE cards SET wanted = wanted + 1, is_final = new.state IN (SELECT state FROM ended_states),
            changed_at = strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')
        WHERE kind = 'deployment' AND subject = CAST(new.id AS TEXT);
    END""",
    """CREATE TRIGGER steps_of_ended_deployment AFTER UPDATE OF state ON deployments
    WHEN new.started_at IS NOT NULL AND new.state IN (SELECT state FROM ended_states)
        AND old.state NOT IN (SELECT state FROM ended_states) BEGIN
        INSERT INTO cards (kind, subject, service, is_final, changed_at)
        VALUES ('steps', new.id, new.service, 1, strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now'));
    END""",
    # What follows takes away, or gives back, buttons of cards that are posted. One that never was stays away.
    f"""CREATE TRIGGER card_of_replaced_release AFTER UPDATE OF live ON services
    WHEN old.live IS NOT NULL AND old.live IS NOT new.live BEGIN
        {_POSTED_ANEW} IN (CAST(old.live AS TEXT), CAST(min(old.live, new.live) AS TEXT)); -- what o8 returned to
    END""",
    f"""CREATE TRIGGER card_of_older_attempt AFTER INSERT ON deployments BEGIN
        {_POSTED_ANEW} = (SELECT CAST(id AS TEXT) FROM deployments
            WHERE service = new.service AND id = (SELECT max(id) FROM deployments
                WHERE service = new.service AND id < new.id) AND state IN ('failed', 'held'));
    END""",  # noqa: S608
    f"""CREATE TRIGGER card_of_lifted_hold AFTER UPDATE OF hold ON services
    WHEN old.hold IS NOT NULL AND new.hold IS NULL BEGIN {_POSTED_ANEW} {_WITH_BUTTONS}; END""",
    f"""CREATE TRIGGER card_of_removed_service AFTER DELETE ON services
    BEGIN {_POSTED_ANEW} {_WITH_BUTTONS}; END""",
)

_NEXT = "(SELECT ifnull(max(revision), 0) + 1 FROM deployments)"
# Every change of a deployment or of its steps gives it the next number of all: readers ask for what came since theirs.
_REVISIONS = (
    "ALTER TABLE deployments ADD COLUMN revision INTEGER NOT NULL DEFAULT 0",
    "UPDATE deployments SET revision = id",
    "CREATE INDEX deployments_by_revision ON deployments (revision)",
    f"""CREATE TRIGGER revision_of_new_deployment AFTER INSERT ON deployments BEGIN
        UPDATE deployments SET revision = {_NEXT} WHERE id = new.id;
    END""",  # noqa: S608
    f"""CREATE TRIGGER revision_of_changed_deployment AFTER UPDATE OF
        state, tag, digest, slot, switched_at, finished_at, error, log, approved_by ON deployments BEGIN
        UPDATE deployments SET revision = {_NEXT} WHERE id = new.id;
    END""",  # noqa: S608
    *(f"""CREATE TRIGGER revision_of_{name} AFTER {event} ON steps BEGIN
        UPDATE deployments SET revision = {_NEXT} WHERE id = new.deployment;
    END""" for name, event in (("new_step", "INSERT"), ("changed_step", "UPDATE"))),  # noqa: S608
)  # fmt: skip

_COUNT = """INSERT INTO counters VALUES ({0}, {1}, {2})
    ON CONFLICT (name, label) DO UPDATE SET value = value + excluded.value;"""
# Rows hold milliseconds; a clock that was set back must not take away what was counted.
_SECONDS = "max(round((julianday(new.ended_at) - julianday(new.started_at)) * 86400, 3), 0)"
# Counted in the transaction of what is counted, so that they survive restarts and never go down.
_COUNTERS = (
    "CREATE TABLE counters (name TEXT NOT NULL, label TEXT NOT NULL, value REAL NOT NULL, PRIMARY KEY (name, label))",
    "CREATE TABLE step_buckets (step TEXT NOT NULL, le REAL NOT NULL, count INTEGER NOT NULL, PRIMARY KEY (step, le))",
    "CREATE TABLE bucket_limits (le REAL PRIMARY KEY)",
    """INSERT INTO bucket_limits VALUES (0.1), (0.25), (0.5), (1), (2.5), (5), (10), (30), (60), (120), (300), (900),
        (3600)""",
    f"""CREATE TRIGGER count_new_deployment AFTER INSERT ON deployments
    WHEN new.state IN (SELECT state FROM ended_states) BEGIN
        {_COUNT.format("'deployments'", "new.state", 1)}
    END""",  # noqa: S608
    f"""CREATE TRIGGER count_ended_deployment AFTER UPDATE OF state ON deployments
    WHEN new.state IN (SELECT state FROM ended_states) AND old.state NOT IN (SELECT state FROM ended_states) BEGIN
        {_COUNT.format("'deployments'", "new.state", 1)}
    END""",  # noqa: S608
    f"""CREATE TRIGGER count_delivery AFTER INSERT ON deliveries BEGIN
        {_COUNT.format("'deliveries'", "new.verdict", 1)}
    END""",
    f"""CREATE TRIGGER count_failed_delivery AFTER UPDATE OF verdict ON deliveries
    WHEN new.verdict = 'failed' AND old.verdict <> 'failed' BEGIN
        {_COUNT.format("'deliveries'", "'failed'", 1)}
    END""",
    f"""CREATE TRIGGER count_duplicate AFTER UPDATE OF duplicates ON deliveries BEGIN
        {_COUNT.format("'deliveries'", "'duplicate'", "new.duplicates - old.duplicates")}
    END""",
    f"""CREATE TRIGGER count_step AFTER UPDATE OF ended_at ON steps
    WHEN old.ended_at IS NULL AND new.ended_at IS NOT NULL BEGIN
        INSERT OR IGNORE INTO step_buckets SELECT new.state, le, 0 FROM bucket_limits;
        UPDATE step_buckets SET count = count + 1 WHERE step = new.state AND le >= {_SECONDS};
        {_COUNT.format("'steps'", "new.state", 1)}
        {_COUNT.format("'step_seconds'", "new.state", _SECONDS)}
    END""",  # noqa: S608
)

# What GitHub was told. `number` is its own of that deployment, made for `repository` and `commit`; `saying` is a status
# whose answer is not known. What GitHub shows as it stays is not `is_open` any more, and costs no look.
_TOLD = (
    """CREATE TABLE told (
        deployment INTEGER PRIMARY KEY REFERENCES deployments (id), is_open INTEGER NOT NULL DEFAULT 1,
        repository TEXT NOT NULL DEFAULT '', "commit" TEXT NOT NULL DEFAULT '', number INTEGER NOT NULL DEFAULT 0,
        status TEXT NOT NULL DEFAULT '', saying TEXT NOT NULL DEFAULT '', refusal TEXT NOT NULL DEFAULT '',
        refused_at TEXT NOT NULL DEFAULT '')""",
    "CREATE INDEX told_open ON told (deployment) WHERE is_open",
    """CREATE TRIGGER told_of_new_deployment AFTER INSERT ON deployments
    WHEN new.state NOT IN (SELECT state FROM ended_states) BEGIN
        INSERT INTO told (deployment) VALUES (new.id);
    END""",
    """CREATE TRIGGER told_of_ended_deployment AFTER UPDATE OF state ON deployments
    WHEN new.state IN (SELECT state FROM ended_states) BEGIN
        UPDATE told SET is_open = 0 WHERE deployment = new.id AND repository = '' AND (
            new.repository = '' OR new."commit" = '' OR new.state IN ('unchanged', 'superseded', 'cancelled', 'held'));
    END""",
)
