"""The tables of the ledger. A change here is a new `vipylo_rag.ledger.LEDGER_VERSION`."""

TABLES = """
CREATE TABLE sources (
    tenant TEXT NOT NULL,
    source TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'done', 'failed')),
    reason TEXT,
    attempts INTEGER NOT NULL,
    how TEXT NOT NULL,
    archive TEXT,
    container TEXT NOT NULL CHECK (container IN ('nothing', 'members', 'pages and members')),
    walked INTEGER NOT NULL,
    moved_from TEXT,
    read_seconds REAL,
    embed_seconds REAL,
    first_seen REAL NOT NULL,
    last_seen REAL NOT NULL,
    PRIMARY KEY (tenant, source)
) WITHOUT ROWID;
CREATE INDEX sources_by_content ON sources (sha256);
CREATE INDEX sources_by_archive ON sources (tenant, archive) WHERE archive IS NOT NULL;
CREATE INDEX sources_by_move ON sources (tenant) WHERE moved_from IS NOT NULL;
CREATE TABLE pages (
    tenant TEXT NOT NULL,
    source TEXT NOT NULL,
    page INTEGER NOT NULL,
    digest TEXT,
    asset TEXT,
    words TEXT,
    state TEXT NOT NULL CHECK (state IN ('done', 'failed')),
    attempts INTEGER NOT NULL,
    reason TEXT,
    seconds REAL,
    PRIMARY KEY (tenant, source, page)
) WITHOUT ROWID;
CREATE INDEX pages_by_asset ON pages (asset) WHERE asset IS NOT NULL;
CREATE INDEX pages_by_words ON pages (words) WHERE words IS NOT NULL;
CREATE INDEX pages_failed ON pages (tenant, source, page) WHERE state = 'failed';
CREATE TABLE fields (tenant TEXT NOT NULL, name TEXT NOT NULL, type TEXT NOT NULL, PRIMARY KEY (tenant, name, type))
    WITHOUT ROWID;
CREATE TABLE runs (
    id INTEGER PRIMARY KEY,
    tenant TEXT NOT NULL,
    paths TEXT NOT NULL,
    options TEXT NOT NULL,
    started REAL NOT NULL,
    ended REAL,
    report TEXT
);
"""
