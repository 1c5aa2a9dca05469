"""The ledger's schema in SQLite: every version of it, in order."""

# "pman": marks the file as ours, so that a wrong path does not write into another program's data.
APPLICATION_ID = 0x706D616E

# The columns as the members of Intent, Settlement and Usage stand.
INTENT_COLUMNS = """request_id, attempt, at_ns, tenant, "key", tags, alias, tier, deployment,
    policy, reason, price_version, worst_case_nanousd, is_stream"""
END_COLUMNS = """state, outcome, input_tokens, cached_input_tokens, cache_write_tokens,
    long_cache_write_tokens, output_tokens, reasoning_tokens, is_estimated, cost_nanousd,
    latency_ms, ttft_ms, error, "cache\""""


def of(table: str, columns: str) -> str:
    """Return the columns as those of a table, or of its short name."""
    return ", ".join(f"{table}.{column.strip()}" for column in columns.split(","))


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
    # Schema 5: attempts are in one narrow table while they run and for a while after, so that to
    # book one changes one page; then they are moved to the tables of before, many at once. A file
    # that was killed by schema 4 may have attempts open, and holds: those are brought along.
    (
        """
        CREATE TABLE live (
            request_id TEXT NOT NULL, attempt INTEGER NOT NULL,
            at_ns INTEGER NOT NULL, tenant TEXT NOT NULL, "key" TEXT NOT NULL, tags TEXT NOT NULL,
            alias TEXT NOT NULL, tier TEXT NOT NULL, deployment TEXT NOT NULL,
            policy TEXT NOT NULL, reason TEXT NOT NULL, price_version TEXT NOT NULL,
            worst_case_nanousd INTEGER, is_stream INTEGER NOT NULL, run INTEGER NOT NULL,
            held_nanousd INTEGER, limits TEXT,
            state TEXT, outcome TEXT NOT NULL DEFAULT 'pending',
            input_tokens INTEGER NOT NULL DEFAULT 0,
            cached_input_tokens INTEGER NOT NULL DEFAULT 0,
            cache_write_tokens INTEGER NOT NULL DEFAULT 0,
            long_cache_write_tokens INTEGER NOT NULL DEFAULT 0,
            output_tokens INTEGER NOT NULL DEFAULT 0,
            reasoning_tokens INTEGER NOT NULL DEFAULT 0,
            is_estimated INTEGER NOT NULL DEFAULT 0,
            cost_nanousd INTEGER, latency_ms INTEGER NOT NULL DEFAULT 0, ttft_ms INTEGER,
            error TEXT NOT NULL DEFAULT '', "cache" TEXT NOT NULL DEFAULT 'miss',
            PRIMARY KEY (request_id, attempt)
        ) WITHOUT ROWID
        """,
        f"""
        INSERT INTO live ({INTENT_COLUMNS}, run, held_nanousd, limits)
        SELECT {of("i", INTENT_COLUMNS)}, i.run, h.nanousd, h.limits
        FROM intents AS i LEFT JOIN holds AS h ON h.request_id = i.request_id AND i.attempt = (
            SELECT min(attempt) FROM intents WHERE request_id = i.request_id)
        WHERE i.request_id IN (
            SELECT request_id FROM holds
            UNION ALL
            SELECT o.request_id FROM runs AS r
            JOIN intents AS o ON o.rowid > r.after_rowid AND o.run = r.run
            WHERE NOT EXISTS (SELECT 1 FROM ends AS e
                WHERE e.request_id = o.request_id AND e.attempt = o.attempt))
        """,
        f"""
        INSERT OR REPLACE INTO live ({INTENT_COLUMNS}, run, held_nanousd, limits, {END_COLUMNS})
        SELECT {of("l", INTENT_COLUMNS)}, l.run, l.held_nanousd, l.limits, {of("e", END_COLUMNS)}
        FROM live AS l JOIN ends AS e ON e.request_id = l.request_id AND e.attempt = l.attempt
        """,
        """
        DELETE FROM intents WHERE rowid IN (
            SELECT i.rowid FROM live AS l
            JOIN intents AS i ON i.request_id = l.request_id AND i.attempt = l.attempt)
        """,
        "DELETE FROM ends WHERE (request_id, attempt) IN (SELECT request_id, attempt FROM live)",
        "UPDATE runs SET after_rowid = 0",
        "DROP TABLE holds",
        "ALTER TABLE intents RENAME TO past_intents",
        "ALTER TABLE ends RENAME TO past_ends",
        # What the tables of before were, for whoever reads the file.
        f"""
        CREATE VIEW intents AS
        SELECT {INTENT_COLUMNS}, run FROM past_intents
        UNION ALL SELECT {INTENT_COLUMNS}, run FROM live
        """,
        f"""
        CREATE VIEW ends AS
        SELECT request_id, attempt, {END_COLUMNS} FROM past_ends
        UNION ALL SELECT request_id, attempt, {END_COLUMNS} FROM live WHERE state IS NOT NULL
        """,
        """
        CREATE VIEW holds AS SELECT request_id, run, held_nanousd AS nanousd, limits FROM live
        WHERE held_nanousd IS NOT NULL
        """,
    ),
)
