"""The price book: versions that are added and never changed, and which import brought them."""

from __future__ import annotations

STATEMENTS: tuple[str, ...] = (
    """\
CREATE TABLE price_batch (
    number INTEGER PRIMARY KEY,
    time_ms INTEGER NOT NULL,
    actor TEXT NOT NULL,
    source TEXT NOT NULL,
    items INTEGER NOT NULL CHECK (items > 0)
) STRICT""",
    """\
CREATE TABLE price (
    number INTEGER PRIMARY KEY,
    batch INTEGER NOT NULL REFERENCES price_batch (number),
    unit TEXT NOT NULL,
    provider TEXT NOT NULL,
    site TEXT NOT NULL,
    region TEXT NOT NULL,
    zone TEXT NOT NULL,
    flavor TEXT NOT NULL,
    model TEXT NOT NULL,
    user_class TEXT NOT NULL,
    mode TEXT NOT NULL,
    band TEXT NOT NULL,
    currency TEXT NOT NULL CHECK (length(currency) = 3),
    price_micro INTEGER NOT NULL CHECK (price_micro >= 0),
    tiers TEXT NOT NULL,
    tier_period TEXT NOT NULL,
    memory_per_core_bytes INTEGER NOT NULL CHECK (memory_per_core_bytes >= 0),
    factors TEXT NOT NULL,
    from_ms INTEGER NOT NULL,
    to_ms INTEGER NOT NULL CHECK (to_ms > from_ms),
    supersedes INTEGER NOT NULL CHECK (supersedes < number)
) STRICT""",
    "CREATE INDEX price_by_provider ON price (provider)",
    "CREATE INDEX price_by_successor ON price (supersedes, from_ms) WHERE supersedes > 0",
    *(
        f"""\
CREATE TRIGGER {table}_no_{action.lower()} BEFORE {action} ON {table} BEGIN
    SELECT RAISE(ABORT, 'price: what was promised is never changed or removed');
END"""
        for table in ("price", "price_batch")
        for action in ("UPDATE", "DELETE")
    ),
    """\
CREATE TRIGGER price_grows BEFORE INSERT ON price
WHEN EXISTS (SELECT 1 FROM price WHERE number >= NEW.number) BEGIN
    SELECT RAISE(ABORT, 'price: this version exists');
END""",
)
