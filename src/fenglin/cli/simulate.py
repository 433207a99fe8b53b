"""`fenglin simulate`: published traces under a virtual clock, one command for each kind."""

from __future__ import annotations

from fenglin.cli.session import command, group
from fenglin.cli.simulate_compare import compare
from fenglin.cli.simulate_gavel import gavel
from fenglin.cli.simulate_openb import openb
from fenglin.cli.simulate_pool import pool
from fenglin.cli.simulate_sia import sia
from fenglin.cli.simulate_swf import swf
from fenglin.cli.simulate_workload import workload

app = group("Replay published traces under a virtual clock, and measure how a policy does.")
command(app, "swf")(swf)
command(app, "openb")(openb)
command(app, "gavel")(gavel)
command(app, "sia")(sia)
command(app, "workload")(workload)
command(app, "pool")(pool)
command(app, "compare")(compare)
