"""What the door says of the audit trail."""

from __future__ import annotations

from msgspec import Struct


class AuditView(Struct, frozen=True, kw_only=True):
    """Who changed what.

    Attributes:
        seq: Its number; none is left out.
        time_ms: Unix time of the request.
        actor: Who asked.
        token: Id of their token, such as `t7`; empty for none.
        account: Their account; empty for all.
        what: The operation, as the API's document names it.
        subject: The request's path, and what came of it where that is short.
        hash: Of this record and, through the one before it, of all before.
    """

    seq: int
    time_ms: int
    actor: str
    token: str
    account: str
    what: str
    subject: str
    hash: str


class AuditPage(Struct, frozen=True, kw_only=True):
    """Some records, oldest first.

    Attributes:
        items: The records.
        next_after: Where the next page begins; 0 when there is none.
    """

    items: list[AuditView]
    next_after: int = 0


class AuditQuestion(Struct, frozen=True, kw_only=True):
    """Which records are wanted.

    Attributes:
        after: Only later ones.
        limit: Most records.
        actor: Only this one's; empty for all.
        what: Only this operation; empty for all.
        from_ms: Only from then on.
    """

    after: int = 0
    limit: int = 100
    actor: str = ""
    what: str = ""
    from_ms: int = 0


class AuditCheck(Struct, frozen=True, kw_only=True):
    """What a look at the whole trail found.

    Attributes:
        ok: Whether every record fits to the one before.
        records: How many there are.
        first_bad: Number of the first that does not fit; 0 for none.
        why: What is wrong with it.
        head: Hash of the last record: write it down elsewhere, and no end can be cut off unseen.
        sealed: How many of them the ledger names; a checkpoint that was kept outside covers those.
    """

    ok: bool
    records: int
    first_bad: int
    why: str
    head: str
    sealed: int = 0
