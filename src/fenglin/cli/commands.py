"""The table of commands: where each lives, so that only the one that is asked for is loaded."""

from __future__ import annotations

from typing import NamedTuple


class Entry(NamedTuple):
    """One command below `fenglin`.

    Attributes:
        module: Holds a Typer app named `app`.
        summary: One line for the help.
    """

    module: str
    summary: str


COMMANDS = {
    "submit": Entry("fenglin.cli.submit", "Submit jobs from files, or show what they would cost."),
    "convert": Entry(
        "fenglin.cli.convert", "Show a file of another scheduler as a native job file."
    ),
    "job": Entry(
        "fenglin.cli.job", "List, show, explain, wait for and cancel jobs; logs, artifacts."
    ),
    "site": Entry("fenglin.cli.site", "List, show, add, check, drain and resume sites."),
    "node": Entry("fenglin.cli.node", "List nodes."),
    "driver": Entry("fenglin.cli.driver", "List, check and begin drivers, the ways to sites."),
    "queue": Entry("fenglin.cli.queue", "List queues."),
    "account": Entry("fenglin.cli.account", "List and show accounts; enter deposits and refunds."),
    "login": Entry("fenglin.cli.login", "Log in by the OpenID provider of a hub."),
    "token": Entry("fenglin.cli.token", "Make, list, replace and revoke tokens; show your own."),
    "secret": Entry("fenglin.cli.secret", "Set, list and remove secrets that jobs are given."),
    "audit": Entry("fenglin.cli.audit", "List who changed what; verify the trail."),
    "ledger": Entry("fenglin.cli.ledger", "Verify, prove and export the ledger; statements."),
    "statement": Entry("fenglin.cli.statement", "Show a tenant's bill of a month, with its proof."),
    "provider": Entry("fenglin.cli.provider", "Show what providers are owed; enter pay-outs."),
    "settle": Entry("fenglin.cli.settle", "Settle a month with providers, and reconcile it."),
    "report": Entry("fenglin.cli.report", "Make the operation report of a month."),
    "device": Entry("fenglin.cli.device", "List, show and match accelerators and CPUs."),
    "price": Entry("fenglin.cli.price", "Keep the price book: list, import, set, supersede."),
    "metering": Entry(
        "fenglin.cli.metering", "Reconcile use with providers' accounting; late records; energy."
    ),
    "voucher": Entry("fenglin.cli.voucher", "Keep voucher pools: apply, approve, use, audit."),
    "inventory": Entry(
        "fenglin.cli.inventory", "Keep the baseline inventory: declare, verify, publish, measure."
    ),
    "offer": Entry("fenglin.cli.offer", "Find the cheapest machines in price lists of clouds."),
    "top": Entry("fenglin.cli.top", "Watch the pool live."),
    "policy": Entry("fenglin.cli.policy", "List and show policies and the terms they weigh."),
    "plan": Entry("fenglin.cli.plan", "List planning cycles, and plan one of them again."),
    "what-if": Entry("fenglin.cli.what_if", "Show what would start, wait and cost otherwise."),
    "simulate": Entry("fenglin.cli.simulate", "Replay published traces under a virtual clock."),
    "db": Entry("fenglin.cli.db", "Migrate, back up, restore, check and move a hub's database."),
    "doctor": Entry("fenglin.cli.doctor", "Check a deployment, and say what to do."),
    "hub": Entry("fenglin.cli.hub", "Run a hub; show and release what it holds back."),
    "agent": Entry("fenglin.cli.agent", "Run the agent of a site that dials in."),
    "version": Entry("fenglin.cli.version", "Show the versions of this program and of the hub."),
    "squeue": Entry("fenglin.cli.slurm.squeue", "Show jobs, as Slurm's squeue does."),
    "sbatch": Entry("fenglin.cli.slurm.sbatch", "Submit a script, as Slurm's sbatch does."),
    "scancel": Entry("fenglin.cli.slurm.scancel", "End jobs, as Slurm's scancel does."),
    "sinfo": Entry("fenglin.cli.slurm.sinfo", "Show nodes and queues, as Slurm's sinfo does."),
    "sacct": Entry("fenglin.cli.slurm.sacct", "Show past jobs, as Slurm's sacct does."),
    "compat": Entry(
        "fenglin.cli.slurm.compat", "Put Slurm's commands on the PATH under their own names."
    ),
}

_HEAD = """\
Usage: fenglin [OPTIONS] COMMAND [ARGS]...

  One pool from unlike clusters, clouds and machines: places jobs, runs them,
  proves what they cost.

Options:
  --install-completion  Install completion for the current shell.
  --show-completion     Show completion for the current shell, to copy it or
                        customize the installation.
  --version             Show the version and exit.
  -h, --help            Show this message and exit.

Commands:
"""

_TAIL = """
`fenglin COMMAND --help` tells more. The hub is chosen by --hub, FENGLIN_HUB or
~/.config/fenglin/config.toml; the token by FENGLIN_TOKEN.

Exit codes: 0 done, 1 failed, 2 bad input, 3 not found, 4 denied, 5 conflict,
6 unavailable, 7 damage, 8 job cancelled, 9 timed out, 130 interrupted.
"""


def root_help() -> str:
    """Return the help of `fenglin` itself."""
    width = max(map(len, COMMANDS))
    rows = "".join(f"  {name:<{width}}  {entry.summary}\n" for name, entry in COMMANDS.items())
    return _HEAD + rows + _TAIL
