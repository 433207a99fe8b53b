"""The process behind `fenglin ledger witness`."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from typing import TYPE_CHECKING

from fenglin.cli.output import write
from fenglin.errors import DamageError, InputError, UnavailableError
from fenglin.ledger.note import (
    COSIGNATURE,
    SEED_BYTES,
    SIGNATURE,
    new_key,
    parse_private_key,
    parse_public_key,
)
from fenglin.witness.disk import write_durably
from fenglin.witness.memory import Memory
from fenglin.witness.rules import Witness
from fenglin.witness.server import serve

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from fenglin.ledger.note import PrivateKey, PublicKey

_KEY_FILE = "witness.key"


def own_key(state: Path, name: str) -> PrivateKey:
    """Return the witness's key, made on the first call.

    Raises:
        InputError: there is none and no name for a new one, or the name is another's.
        DamageError: the file is no key.
        UnavailableError: the folder cannot be used.
    """
    path = state / _KEY_FILE
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            fresh = new_key(
                name or f"witness.{socket.gethostname()}", os.urandom(SEED_BYTES), COSIGNATURE
            )
            write_durably(path, fresh.secret_text() + "\n", 0o600)
        text = path.read_text(errors="replace")
    except OSError as error:
        raise UnavailableError(
            f"the witness's folder cannot be used: {error.strerror}", where=str(state)
        ) from error
    try:
        key = parse_private_key(text)
    except InputError as error:
        raise DamageError(error.what, where=str(path), hint="restore it from a copy") from error
    if name and key.name != name:
        raise InputError(f"this witness is {key.name}, not {name}", where="--name")
    return key


def run(key: PrivateKey, state: Path, logs: Sequence[str], listen: str) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        InputError: no log, or a wrong key or address.
        UnavailableError: it cannot listen there.
    """
    if not logs:
        raise InputError(
            "no ledger to watch",
            where="--log",
            hint="give the public key that `fenglin ledger checkpoint` shows",
        )
    watched = [_log(text) for text in logs]
    host, _, port = listen.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65_535:
        raise InputError(f"{listen[:80]!r} is not HOST:PORT", where="--listen")
    with Memory(state) as memory:
        try:
            sock = socket.create_server((host.strip("[]"), int(port)))
        except OSError as error:
            raise UnavailableError(f"cannot listen: {error.strerror}", where=listen) from error
        with sock:
            bound = sock.getsockname()[:2]
            write(f"witness {key.name} answers at http://{bound[0]}:{bound[1]}\n{key.public}\n")
            witness = Witness(key, watched, memory, lambda: int(time.time()))
            asyncio.run(serve(witness, sock))


def _log(text: str) -> PublicKey:
    key = parse_public_key(text)
    if key.kind != SIGNATURE:
        raise InputError(f"the key of {key.name} is a witness's, not a ledger's", where="--log")
    return key
