"""`fenglin inventory probe`: measure a site by a job, and enter the answer as evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from fenglin.cli.humane import seconds
from fenglin.cli.output import Column, Output, flush, write, write_data, write_table
from fenglin.cli.session import (
    HubOption,
    NoHeaderOption,
    OutputOption,
    command,
    hub_client,
)
from fenglin.errors import ConflictError, InputError

if TYPE_CHECKING:
    from fenglin.client import Client
    from fenglin.wire.inventory_views import MeasurementView


class Sizes(NamedTuple):
    """How much a probe measures.

    Attributes:
        matrix: Rows and columns.
        each_s: Time for each repeated measurement.
        memory_mib: To copy.
        disk_mib: To write and read.
    """

    matrix: int
    each_s: float
    memory_mib: int
    disk_mib: int

    def words(self) -> list[str]:
        """Return them as the script takes them."""
        pairs = (
            ("--size", self.matrix),
            ("--seconds", self.each_s),
            ("--memory-mib", self.memory_mib),
            ("--disk-mib", self.disk_mib),
        )
        return [str(word) for pair in pairs for word in pair]


def join(app: typer.Typer) -> None:
    """Add this command to the group."""
    command(app, "probe")(probe_site)


def probe_site(  # noqa: PLR0913, PLR0917 - options are arguments
    site: Annotated[str, typer.Argument(metavar="SITE", help="Which site is measured.")],
    flavor: Annotated[
        str, typer.Option("--flavor", help="Which class of nodes; needed when there are several.")
    ] = "",
    cpu: Annotated[
        float, typer.Option("--cpu", min=0, help="Cores; 0 for those of a whole node.")
    ] = 0,
    group: Annotated[
        str, typer.Option("--group", help="Of the facility; told by the device's name if left out.")
    ] = "",
    account: Annotated[str, typer.Option("--account", help="Who pays for the job.")] = "default",
    size: Annotated[int, typer.Option("--size", min=16, help="Of the matrices.")] = 4096,
    duration: Annotated[
        str, typer.Option("--duration", help="Time for each repeated measurement.")
    ] = "2s",
    memory_mib: Annotated[int, typer.Option("--memory-mib", min=1, help="To copy.")] = 512,
    disk_mib: Annotated[int, typer.Option("--disk-mib", min=1, help="To write and read.")] = 512,
    nodes: Annotated[
        int, typer.Option("--nodes", min=1, max=64, help="From two on, TCP between them as well.")
    ] = 1,
    timeout: Annotated[str, typer.Option("--timeout", help="Longest wait, such as 2h.")] = "1h",
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Only submit; enter it later with --job.")
    ] = False,
    job: Annotated[
        str, typer.Option("--job", metavar="JOB", help="Enter this probe; submit none.")
    ] = "",
    output: OutputOption = Output.TABLE,
    no_header: NoHeaderOption = False,
    hub: HubOption = "",
) -> None:
    """Measure a site by an ordinary job, and enter the answer beside the nominal figures.

    It measures products of matrices per precision (NumPy; PyTorch on cards), memory, disk and TCP
    within the machine; with --nodes also TCP from the first node to each other. What is missing
    there is named as not measured. The job is the evidence.
    """
    limit_s, each_s = seconds(timeout), seconds(duration)
    if limit_s is None or each_s is None:
        raise InputError("no duration", where="--timeout", hint="such as 90s or 2h")
    sizes = Sizes(size, each_s, memory_mib, disk_mib)
    with hub_client(hub) as client:
        if not job:
            document = {**_document(client, site, flavor, cpu, sizes), "nodes": nodes}
            job = client.submit({**document, "account": account}).id
            if output is Output.TABLE:
                write(f"{job}\n")
                flush()
            if no_wait:
                return
            view = client.wait(job, limit_s)
            if view.state != "succeeded":
                raise ConflictError(
                    f"the probe {job} is {view.state}: {view.reason or 'see its log'}",
                    where=site,
                    hint=f"`fenglin job explain {job}`, `fenglin job logs {job} --task 0`",
                )
        from fenglin.client.inventory import inventory_measure  # noqa: PLC0415 - slow

        done = client.call(inventory_measure(job, group))
    _show(done, output, header=not no_header)


def _document(
    client: Client, site: str, flavor: str, cpu: float, sizes: Sizes
) -> dict[str, object]:
    """Return the job: our script, on one node of the flavor."""
    from fenglin.probes import SCRIPT_NAME, read_script, script_sha256  # noqa: PLC0415

    flavors = client.site(site).flavors
    found = [one for one in flavors if not flavor or one.name == flavor]
    if len(found) != 1:
        names = ", ".join(one.name for one in flavors)
        what = f"{site} has no flavor {flavor!r}" if flavor else f"{site} has several flavors"
        raise InputError(what, where="--flavor", hint=f"one of {names}")
    chosen = found[0]
    script, sha256 = read_script(), script_sha256()
    if client.missing_blobs([sha256]):
        client.put_blob(sha256, script)
    cards = bool(chosen.accelerator)
    # Three matrices of eight bytes an element, two buffers, and what Python itself needs.
    need_mib = 2 * sizes.memory_mib + 3 * 8 * sizes.matrix**2 // 2**20 + 256
    resources: dict[str, object] = {
        "cpu": cpu or chosen.cpu_milli / 1_000,
        "memory": f"{need_mib}MiB",
        "disk": f"{sizes.disk_mib + 16}MiB",
    }
    if cards:
        resources["accelerators"] = f"{chosen.accelerator}:1"
    return {
        "name": f"probe-{site}",
        "sites": [site],
        "class": chosen.compute_class,
        "require": chosen.labels,
        "resources": resources,
        "estimate": "1m",
        "files": [{"target": SCRIPT_NAME, "sha256": sha256, "size": len(script)}],
        "command": ["python3", SCRIPT_NAME, *(["--card"] if cards else []), *sizes.words()],
    }


def _show(done: MeasurementView, output: Output, *, header: bool) -> None:
    if output is not Output.TABLE:
        write_data(done, output)
        return
    one = done.measurement
    write(f"{one.site}/{one.flavor}, {one.node}: {one.device or 'a processor without a name'}\n")
    if done.entered:
        write(f"{one.facility}/{one.group}: entered, {one.document}\n\n")
    else:
        why = "it is not all of one device" if one.group else f"no group is of {one.device!r}"
        write(f"{one.facility}: kept beside the totals, not in them: {why}\n\n")
    rows = [(each.what, f"{each.milli / 1_000:,.10g}", each.unit, each.how) for each in one.figures]
    rows += [(what, "", "", f"not measured: {why}") for what, why in one.missing]
    columns = (Column("WHAT"), Column("MEASURED", right=True), Column("UNIT"), Column("HOW"))
    write_table(columns, rows, header=header)
