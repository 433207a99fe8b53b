"""Proof files: fetched from a hub, verified without one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from fenglin.cli.humane import moment_ms
from fenglin.cli.session import hub_client
from fenglin.client.proofs import prove
from fenglin.errors import InputError
from fenglin.ledger.note import parse_public_key
from fenglin.ledger.proof import check_proof, read_proof
from fenglin.model.job import DEFAULT_ACCOUNT
from fenglin.wire.proof_views import ProofAsk

if TYPE_CHECKING:
    from fenglin.ledger.proof import ProofReport

_PROOF = "proof"


def fetch_proof(hub: str, account: str, period: tuple[str, str], earlier: str) -> tuple[bytes, str]:
    """Return a proof file, and the key that the hub says is its own."""
    ask = ProofAsk(
        account=account,
        from_ms=moment_ms(period[0]),
        to_ms=moment_ms(period[1]),
        earlier=earlier,
    )
    with hub_client(hub) as client:
        try:
            file = client.call(prove(ask))
        except InputError as error:
            # An admin's token belongs to no account, so the hub asks for one.
            if account or "account" not in error.where:
                raise
            file = client.call(prove(msgspec.structs.replace(ask, account=DEFAULT_ACCOUNT)))
    return msgspec.json.encode(file), file.key


def check_file(raw: bytes, key: str, witnesses: tuple[str, ...], earlier: str) -> ProofReport:
    """Verify a proof file, or a statement that carries one.

    Args:
        raw: Content of the file.
        key: The hub's public key; empty believes the file's own, which proves only that the
            file fits itself.
        witnesses: Public keys of those who must have cosigned.
        earlier: A checkpoint that the reader kept; empty for none.

    Raises:
        InputError: something does not hold, or the file is neither.
    """
    file = read_proof(_inner(raw))
    hub_key = parse_public_key(key or file.key)
    return check_proof(file, hub_key, [parse_public_key(one) for one in witnesses], earlier)


def _inner(raw: bytes) -> bytes:
    """Return the proof of a statement; of anything else, the thing itself."""
    try:
        whole: Any = msgspec.json.decode(raw)
    except msgspec.DecodeError as error:
        raise InputError(f"the file is not JSON: {error}") from error
    if isinstance(whole, dict) and isinstance(whole.get(_PROOF), dict):
        return msgspec.json.encode(whole[_PROOF])
    return raw
