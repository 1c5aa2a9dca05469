"""The ledger's schema in SQLite: every version of it, in order."""

# "pman": marks the file as ours, so that a wrong path does not write into another program's data.
APPLICATION_ID = 0x706D616E

# One entry per schema version, in order, never edited once released: to change the schema, add one.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        f"PRAGMA application_id = {APPLICATION_ID}",
        """
        CREATE TABLE runs (
            run INTEGER PRIMARY KEY AUTOINCREMENT,
            home TEXT NOT NULL, pid INTEGER NOT NULL, started TEXT NOT NULL,
            after_rowid INTEGER NOT NULL
        )
        """,
        """
        CREATE TABLE intents (
            request_id TEXT NOT NULL, attempt INTEGER NOT NULL, run INTEGER NOT NULL,
            at_ns INTEGER NOT NULL, tenant TEXT NOT NULL, "key" TEXT NOT NULL, tags TEXT NOT NULL,
            alias TEXT NOT NULL, tier TEXT NOT NULL, deployment TEXT NOT NULL,
            policy TEXT NOT NULL, reason TEXT NOT NULL, price_version TEXT NOT NULL,
            worst_case_nanousd INTEGER, is_stream INTEGER NOT NULL,
            PRIMARY KEY (request_id, attempt)
        )
        """,
        "CREATE INDEX intents_by_time ON intents (at_ns)",
        """
        CREATE TABLE ends (
            request_id TEXT NOT NULL, attempt INTEGER NOT NULL,
            state TEXT NOT NULL, outcome TEXT NOT NULL,
            input_tokens INTEGER NOT NULL DEFAULT 0,
            cached_input_tokens INTEGER NOT NULL DEFAULT 0,
            cache_write_tokens INTEGER NOT NULL DEFAULT 0,
            output_tokens INTEGER NOT NULL DEFAULT 0,
            reasoning_tokens INTEGER NOT NULL DEFAULT 0,
            is_estimated INTEGER NOT NULL DEFAULT 0,
            cost_nanousd INTEGER, latency_ms INTEGER NOT NULL DEFAULT 0, ttft_ms INTEGER,
            error TEXT NOT NULL DEFAULT '', "cache" TEXT NOT NULL DEFAULT 'miss',
            PRIMARY KEY (request_id, attempt)
        ) WITHOUT ROWID
        """,
        """
        CREATE TABLE feedback (
            id INTEGER PRIMARY KEY, request_id TEXT NOT NULL, score REAL NOT NULL,
            at_ns INTEGER NOT NULL
        )
        """,
        "CREATE INDEX feedback_by_request ON feedback (request_id, id)",
    ),
    (
        """
        CREATE TABLE audits (
            id INTEGER PRIMARY KEY, request_id TEXT NOT NULL UNIQUE, at_ns INTEGER NOT NULL,
            regime TEXT NOT NULL, "group" TEXT NOT NULL,
            steps INTEGER NOT NULL, steps_after INTEGER NOT NULL, floor REAL NOT NULL,
            judge TEXT NOT NULL, routed TEXT NOT NULL, strongest TEXT NOT NULL,
            quality_routed REAL NOT NULL, quality_strongest REAL NOT NULL
        )
        """,
        "CREATE TABLE readings (request_id TEXT PRIMARY KEY, reading TEXT NOT NULL) WITHOUT ROWID",
    ),
    # Rows from before were booked as if all cache writes were for minutes, which 0 says.
    ("ALTER TABLE ends ADD COLUMN long_cache_write_tokens INTEGER NOT NULL DEFAULT 0",),
    # Schema 4: who may spend, how much is spent, what came of a request, and texts where wanted.
    (
        "CREATE TABLE facts (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
        """
        CREATE TABLE "keys" (
            name TEXT PRIMARY KEY, digest BLOB NOT NULL UNIQUE, "grant" TEXT NOT NULL,
            created_ns INTEGER NOT NULL, expires_ns INTEGER, revoked_ns INTEGER,
            old_digest BLOB UNIQUE, old_until_ns INTEGER
        ) WITHOUT ROWID
        """,
        """
        CREATE TABLE budgets (
            scope TEXT NOT NULL, "window" TEXT NOT NULL,
            nanousd INTEGER NOT NULL, held_nanousd INTEGER NOT NULL,
            PRIMARY KEY (scope, "window")
        ) WITHOUT ROWID
        """,
        """
        CREATE TABLE holds (
            request_id TEXT PRIMARY KEY, run INTEGER NOT NULL, nanousd INTEGER NOT NULL,
            limits TEXT NOT NULL
        ) WITHOUT ROWID
        """,
        "CREATE INDEX holds_by_run ON holds (run)",
        """
        CREATE TABLE outcomes (
            tenant TEXT NOT NULL, "key" TEXT NOT NULL, digest BLOB NOT NULL, run INTEGER NOT NULL,
            at_ns INTEGER NOT NULL, status INTEGER, headers TEXT, body BLOB,
            PRIMARY KEY (tenant, "key")
        )
        """,
        "CREATE INDEX outcomes_by_time ON outcomes (at_ns)",
        """
        CREATE TABLE contents (
            request_id TEXT PRIMARY KEY, tenant TEXT NOT NULL, at_ns INTEGER NOT NULL,
            request BLOB NOT NULL, answer BLOB NOT NULL
        )
        """,
        "CREATE INDEX contents_by_time ON contents (at_ns)",
    ),
)
