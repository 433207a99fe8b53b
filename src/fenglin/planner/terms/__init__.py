"""Terms of the score, one per file. Others add theirs by the entry point group `GROUP`.

An entry point names a `Rule`; whoever wires the pool loads it and equips the policy with it
(`policy.equip`). The planner itself loads nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

from fenglin.planner.terms import (
    carbon,
    egress,
    finish,
    fragmentation,
    latency,
    money,
    neutrality,
)
from fenglin.planner.terms.rule import Figures, Rule

__all__ = ["BUILT_IN", "GROUP", "Figures", "Rule"]

GROUP = "fenglin.terms"

BUILT_IN: Mapping[str, Rule] = {
    "finish": finish.RULE,
    "money": money.RULE,
    "egress": egress.RULE,
    "carbon": carbon.RULE,
    "latency": latency.RULE,
    "fragmentation": fragmentation.RULE,
    "neutrality": neutrality.RULE,
}
