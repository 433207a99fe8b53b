"""What a witness answers to a checkpoint that it is shown: C2SP tlog-witness, add-checkpoint.

The request is

    old <size that the witness is believed to know>
    <base64 hash of the consistency proof>      (any number of lines)

    <signed checkpoint>

and the answers are: 200 with a cosignature; 400 what is no request; 403 no signature of the log's
key; 404 a log that the witness does not know; 409 with the size it really knows, or another root
for the same size; 422 a proof that does not hold.
"""

from __future__ import annotations

import base64
import binascii
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple

from fenglin.errors import InputError
from fenglin.ledger import tree
from fenglin.ledger.note import (
    Checkpoint,
    Signed,
    cosign,
    read_checkpoint,
    read_note,
    verify_note,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fenglin.ledger.note import PrivateKey, PublicKey
    from fenglin.witness.memory import Memory

MAX_REQUEST_BYTES = 128 * 1024
PLAIN = "text/plain; charset=utf-8"
SIZE = "text/x.tlog.size"
_OLD = "old "
_MOST_HASHES = 63


class Answer(NamedTuple):
    """What the witness says.

    Attributes:
        status: HTTP status.
        kind: Media type of the text.
        text: For the one who asked.
    """

    status: int
    kind: str
    text: str


class Asked(NamedTuple):
    """A request, read."""

    old: int
    proof: tuple[bytes, ...]
    note: Signed
    checkpoint: Checkpoint


class Witness:
    """Signs a checkpoint only if it goes on from the last one it has signed for that log."""

    def __init__(
        self,
        key: PrivateKey,
        logs: Sequence[PublicKey],
        memory: Memory,
        now_s: Callable[[], int],
    ) -> None:
        """Take its own key, whom it watches, its memory, and the clock.

        A log is known by its key's name, which is its origin.
        """
        self._key = key
        self._logs = {log.name: log for log in logs}
        self._memory = memory
        self._now_s = now_s

    def add_checkpoint(self, body: bytes) -> Answer:
        """Answer a request. One at a time.

        Raises:
            DamageError: what was remembered of the log cannot be read.
            UnavailableError: what is new cannot be kept; nothing was signed.
        """
        try:
            asked = read_request(body)
        except InputError as error:
            return Answer(HTTPStatus.BAD_REQUEST, PLAIN, f"{error}\n")
        log = self._logs.get(asked.checkpoint.origin)
        if log is None:
            return Answer(HTTPStatus.NOT_FOUND, PLAIN, "this log is not watched here\n")
        try:
            signers = verify_note(asked.note, (log,))
        except InputError as error:
            return Answer(HTTPStatus.FORBIDDEN, PLAIN, f"{error}\n")
        if log.name not in signers:
            return Answer(HTTPStatus.FORBIDDEN, PLAIN, "not signed by the log's key\n")
        return self._judge(log, asked)

    def _judge(self, log: PublicKey, asked: Asked) -> Answer:
        """Compare with what is remembered; sign, or say what is wrong."""
        last = self._memory.last(log)
        size, root = (last.size, last.root) if last else (0, tree.EMPTY_ROOT)
        seen = asked.checkpoint
        if asked.old != size:
            return Answer(HTTPStatus.CONFLICT, SIZE, f"{size}\n")
        if seen.size == size and seen.root != root:
            return Answer(HTTPStatus.CONFLICT, PLAIN, f"another root over {size} entries: a fork\n")
        why = tree.consistent(size, root, seen.size, seen.root, asked.proof)
        if why:
            return Answer(HTTPStatus.UNPROCESSABLE_ENTITY, PLAIN, f"{why}\n")
        bare = Signed(
            asked.note.text, tuple(one for one in asked.note.signatures if one[0] == log.name)
        )
        if last is None or seen.size > size:
            self._memory.keep(log, str(bare))
        signed = cosign(Signed(asked.note.text, ()), self._key, self._now_s())
        name, value = signed.signatures[0]
        line = f"\u2014 {name} {base64.b64encode(value).decode()}\n"
        return Answer(HTTPStatus.OK, PLAIN, line)


def read_request(body: bytes) -> Asked:
    """Return the parts of a request.

    Raises:
        InputError: it is none; says what is wrong.
    """
    if len(body) > MAX_REQUEST_BYTES:
        raise InputError(f"a request of {len(body)} bytes", hint=f"at most {MAX_REQUEST_BYTES}")
    head, blank, note_raw = body.partition(b"\n\n")
    try:
        lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError as error:
        raise InputError("the first lines are not ASCII") from error
    number = lines[0].removeprefix(_OLD)
    plain = number.isdigit() and (number == "0" or number[0] != "0") and len(number) < 20
    if not blank or not lines[0].startswith(_OLD) or not plain:
        raise InputError("the first line is not `old <size>`")
    if len(lines) - 1 > _MOST_HASHES:
        raise InputError(f"a proof of {len(lines) - 1} hashes", hint=f"at most {_MOST_HASHES}")
    try:
        proof = tuple(base64.b64decode(line, validate=True) for line in lines[1:])
    except (binascii.Error, ValueError) as error:
        raise InputError("a hash of the proof is no base64") from error
    if any(len(one) != tree.HASH_BYTES for one in proof):
        raise InputError(f"a hash of the proof is not of {tree.HASH_BYTES} bytes")
    note = read_note(note_raw)
    checkpoint = read_checkpoint(note.text)
    if int(number) > checkpoint.size:
        raise InputError(f"old size {number} is above the checkpoint's {checkpoint.size}")
    return Asked(int(number), proof, note, checkpoint)


def write_request(old: int, proof: Sequence[bytes], note: str) -> bytes:
    """Return a request as `read_request` takes it."""
    hashes = "".join(f"{base64.b64encode(one).decode()}\n" for one in proof)
    return f"{_OLD}{old}\n{hashes}\n{note}".encode()
