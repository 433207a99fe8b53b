"""Calls for checkpoints and proofs of the ledger, for `Client.call` and `AsyncClient.call`."""

from __future__ import annotations

from urllib.parse import urlencode

import msgspec

from fenglin.client.requests import API, Call
from fenglin.ledger.proof import ProofFile
from fenglin.wire.proof_views import CheckpointView, ConsistencyView, ProofAsk

_JSON = (("Content-Type", "application/json"),)


def checkpoint(*, fresh: bool = False) -> Call[CheckpointView]:
    """Get the last signed checkpoint; with `fresh`, have what the ledger is now signed."""
    query = "?fresh=true" if fresh else ""
    return Call("GET", f"{API}/ledger/checkpoint{query}", CheckpointView, extra_s=60.0)


def consistency(old: int, new: int) -> Call[ConsistencyView]:
    """Get the proof that the ledger of `new` entries goes on from the one of `old`."""
    query = urlencode({"old": old, "new": new})
    return Call("GET", f"{API}/ledger/consistency?{query}", ConsistencyView)


def prove(ask: ProofAsk) -> Call[ProofFile]:
    """Get one file with which an account's entries can be verified without the hub."""
    body = msgspec.json.encode(ask)
    return Call("POST", f"{API}/ledger/proof", ProofFile, _JSON, body, extra_s=60.0)
