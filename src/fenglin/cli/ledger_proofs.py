"""`fenglin ledger verify|checkpoint|prove|witness`: the ledger, proven to who trusts nobody."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fenglin.cli.failure import show_warning
from fenglin.cli.humane import moment
from fenglin.cli.output import Output, write, write_data, write_fields
from fenglin.cli.session import HubOption, OutputOption, command, hub_client
from fenglin.errors import DamageError, FenglinError, InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fenglin.ledger.note import Checkpoint, PublicKey
    from fenglin.ledger.proof import ProofReport
    from fenglin.wire.views import LedgerCheck

_MOST_FILE_BYTES = 1 << 30
_NO_KEY = (
    "the checkpoint's signature was not checked: pass the hub's public key with --key "
    "(`fenglin ledger checkpoint` shows it)"
)

CheckpointOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--checkpoint", metavar="FILE", help="A checkpoint kept outside; may come several times."
    ),
]
KeyOption = Annotated[
    str, typer.Option("--key", metavar="KEY", help="The hub's public key, noted earlier.")
]


def register(app: typer.Typer) -> None:
    """Add the commands to `fenglin ledger`."""
    command(app, "verify")(verify_ledger)
    command(app, "checkpoint")(make_checkpoint)
    command(app, "prove")(prove_entries)
    command(app, "witness")(run_witness)


def verify_ledger(
    export: Annotated[
        Path | None,
        typer.Option("--export", metavar="FILE", help="Verify this JSON-lines export, not a hub."),
    ] = None,
    checkpoint: CheckpointOption = None,
    key: KeyOption = "",
    output: OutputOption = Output.TABLE,
    hub: HubOption = "",
) -> None:
    """Check the whole ledger: hash chain, balances, holds, and that it is what was signed.

    Exit code 7 when it is damaged; the first bad entry is named. With `--checkpoint` it must go
    on from that checkpoint; with `--export` no hub is asked.
    """
    seals = [_checkpoint(path, key) for path in checkpoint or ()]
    if export is not None:
        check = _verify_export(export, seals)
    else:
        with hub_client(hub) as client:
            check = client.ledger_verify()
            if check.ok and seals:
                from fenglin.cli.ledger_growth import grown  # noqa: PLC0415 - rarely needed

                check = grown(client, check, seals)
    if output is not Output.TABLE:
        write_data(check, output)
    else:
        write_fields(
            [
                ("ledger", check.ledger_id),
                ("verified", "yes" if check.ok else "NO"),
                ("entries", str(check.entries)),
                ("sealed", f"{check.sealed} by checkpoints"),
                ("head", check.head_hash),
            ]
        )
    if not check.ok:
        at = f" at entry {check.first_bad_seq}" if check.first_bad_seq else ""
        raise DamageError(
            f"the ledger is damaged{at}: {check.problem}",
            where=str(export) if export else f"ledger {check.ledger_id}",
            hint="keep the hub's data as it is, and compare with the last export",
        )


def make_checkpoint(
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write the signed note there.")
    ] = None,
    output: OutputOption = Output.TABLE,
    hub: HubOption = "",
) -> None:
    """Have the hub sign what its ledger is now; keep the file where the hub cannot reach it."""
    from fenglin.client.proofs import checkpoint  # noqa: PLC0415 - slow; help needs none

    with hub_client(hub) as client:
        try:
            view = client.call(checkpoint(fresh=True))
        except FenglinError as error:
            if error.http_status != 403:
                raise
            view = client.call(checkpoint())
    if out is not None:
        _write(out, view.checkpoint.encode())
    if output is not Output.TABLE:
        write_data(view, output)
        return
    write_fields([("key", view.key), ("entries", str(view.size))])
    if out is None:
        write(f"\n{view.checkpoint}")


def prove_entries(  # noqa: PLR0913, PLR0917 - one option each
    statement: Annotated[
        Path | None,
        typer.Option("--statement", metavar="FILE", help="Verify this file; no hub is asked."),
    ] = None,
    account: Annotated[str, typer.Option("--account", help="Whose entries; your own.")] = "",
    start: Annotated[str, typer.Option("--from", metavar="TIME", help="First moment.")] = "",
    end: Annotated[str, typer.Option("--to", metavar="TIME", help="End; now if left out.")] = "",
    earlier: Annotated[
        Path | None,
        typer.Option("--earlier", metavar="FILE", help="A checkpoint that you kept."),
    ] = None,
    key: KeyOption = "",
    witness: Annotated[
        list[str] | None,
        typer.Option("--witness", metavar="KEY", help="Who must have cosigned; may repeat."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Where a new proof is written.")
    ] = None,
    output: OutputOption = Output.TABLE,
    hub: HubOption = "",
) -> None:
    """Get a proof of your entries from the hub, or verify one without it.

    Exit code 7 when what the file says does not hold.
    """
    from fenglin.cli.ledger_files import check_file, fetch_proof  # noqa: PLC0415 - slow

    before = _text(earlier) if earlier else ""
    if statement is None:
        raw, trusted = fetch_proof(hub, account, (start, end), before)
        if out is None:
            raise InputError("where should the proof go?", where="--out", hint="name a file")
        _write(out, raw)
        key = key or trusted
    else:
        raw = _bytes(statement)
    if not key:
        show_warning(_NO_KEY)
    try:
        report = check_file(raw, key, tuple(witness or ()), before)
    except InputError as error:
        raise DamageError(
            f"the proof does not hold: {error.what}",
            where=error.where or str(statement or out),
            hint=error.hint or "keep the file, and ask the hub's operator",
        ) from error
    _show_proof(report, output)


def run_witness(
    state: Annotated[Path, typer.Option("--state", metavar="DIR", help="Its key and memory.")],
    log: Annotated[
        list[str] | None,
        typer.Option("--log", metavar="KEY", help="Public key of a ledger to watch; may repeat."),
    ] = None,
    listen: Annotated[
        str, typer.Option("--listen", metavar="HOST:PORT", help="Where it answers.")
    ] = "127.0.0.1:8643",
    name: Annotated[str, typer.Option("--name", help="Names a new key, such as a host.")] = "",
    key_only: Annotated[
        bool, typer.Option("--key-only", help="Print its public key and end.")
    ] = False,
) -> None:
    """Run a witness: it signs a checkpoint only if the ledger has grown, and remembers.

    Run it on a machine that the hub's operator does not control.
    """
    from fenglin.cli.ledger_witness import own_key, run  # noqa: PLC0415 - slow

    key = own_key(state, name)
    if key_only:
        write(f"{key.public}\n")
        return
    run(key, state, log or [], listen)


def _verify_export(path: Path, seals: Sequence[Checkpoint]) -> LedgerCheck:
    """Verify an export, in memory that does not grow with it."""
    from fenglin.ledger.export import verify_jsonl  # noqa: PLC0415 - slow; help needs none
    from fenglin.ledger.seals import Seals  # noqa: PLC0415
    from fenglin.wire.views import LedgerCheck  # noqa: PLC0415

    def lines() -> Iterator[bytes]:
        with path.open("rb") as file:
            yield from file

    try:
        report = verify_jsonl(lines, seals=Seals(seals))
    except OSError as error:
        raise _unreadable(path, error) from error
    return LedgerCheck(
        ok=report.ok,
        entries=report.entries,
        first_bad_seq=report.bad_seq or 0,
        problem="; ".join(filter(None, (report.why, *report.problems))),
        head_hash=report.head.hash.hex() if report.head else "",
        ledger_id=report.head.ledger_id if report.head else "",
        sealed=report.sealed,
    )


def _checkpoint(path: Path, key: str) -> Checkpoint:
    """Return a checkpoint file's content; its signature is checked where the key is given."""
    from fenglin.ledger.note import (  # noqa: PLC0415 - slow; help needs none
        open_checkpoint,
        parse_public_key,
        read_checkpoint,
        read_note,
    )

    raw = _bytes(path)
    try:
        if key:
            known: PublicKey = parse_public_key(key)
            return open_checkpoint(raw, known)
        show_warning(_NO_KEY)
        return read_checkpoint(read_note(raw).text)
    except InputError as error:
        raise InputError(error.what, where=str(path), hint=error.hint) from error


def _show_proof(report: ProofReport, output: Output) -> None:
    entries = report.entries
    if output is not Output.TABLE:
        write_data(
            {
                "proven": True,
                "ledger": report.checkpoint.origin,
                "ledger_entries": report.checkpoint.size,
                "entries": [entry.seq for entry in entries],
                "grew_from": report.grew_from,
                "witnesses": dict(report.witnesses),
            },
            output,
        )
        return
    grew = f"from {report.grew_from} entries" if report.grew_from else "no earlier one was given"
    seen = ", ".join(f"{name} at {moment(at * 1_000)}" for name, at in report.witnesses)
    write_fields(
        [
            ("proven", f"{len(entries)} entries, {entries[0].seq} to {entries[-1].seq}"),
            ("ledger", f"{report.checkpoint.origin}, {report.checkpoint.size} entries"),
            ("grew", grew),
            ("witnesses", seen or "none were asked for"),
        ]
    )


def _write(path: Path, data: bytes) -> None:
    from fenglin.cli.files import replacing  # noqa: PLC0415 - only for a file

    try:
        with replacing(path) as file:
            file.write(data)
    except OSError as error:
        raise FenglinError(f"cannot be written: {error.strerror}", where=str(path)) from error


def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            raw = file.read(_MOST_FILE_BYTES + 1)
    except OSError as error:
        raise _unreadable(path, error) from error
    if len(raw) > _MOST_FILE_BYTES:
        raise InputError("the file is larger than any proof", where=str(path))
    return raw


def _text(path: Path) -> str:
    try:
        return _bytes(path).decode()
    except UnicodeDecodeError as error:
        raise InputError("the file is not UTF-8", where=str(path)) from error


def _unreadable(path: Path, error: OSError) -> InputError:
    return InputError(f"cannot be read: {error.strerror}", where=str(path))
