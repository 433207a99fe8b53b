"""The agent of a site that takes no connection from outside: `fenglin agent`.

It dials the hub, fetches orders, has a driver of its own carry them out, and answers. What must
outlive it is on its disk: the driver keeps attempts and their ends until the hub has them and
says `forget`; files that tasks left stay until the hub has taken them; the highest epoch seen and
the agent's own id stand in `agent.json`. So a cut line or a dead hub loses nothing: the hub asks
from its last committed cursor.
"""

from fenglin.agent.main import run_agent

__all__ = ["run_agent"]
