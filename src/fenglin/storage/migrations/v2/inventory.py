"""Steps of the inventory's closed loop: who declared, verified, published, rectified what, when."""

from __future__ import annotations

STATEMENTS: tuple[str, ...] = (
    """\
CREATE TABLE inventory_step (
    seq INTEGER PRIMARY KEY,
    time_ms INTEGER NOT NULL,
    actor TEXT NOT NULL,
    kind TEXT NOT NULL,
    facility TEXT NOT NULL,
    subject TEXT NOT NULL,
    note TEXT NOT NULL,
    document TEXT NOT NULL,
    body BLOB NOT NULL
) STRICT""",
    *(
        f"""\
CREATE TRIGGER inventory_step_no_{action.lower()} BEFORE {action} ON inventory_step BEGIN
    SELECT RAISE(ABORT, 'inventory: a step is never changed or removed');
END"""
        for action in ("UPDATE", "DELETE")
    ),
    """\
CREATE TRIGGER inventory_step_grows BEFORE INSERT ON inventory_step
WHEN NEW.seq != (SELECT coalesce(max(seq), 0) + 1 FROM inventory_step) BEGIN
    SELECT RAISE(ABORT, 'inventory: steps are numbered without a gap');
END""",
)
