"""One site as declared, wished and observed, and what of it may be planned with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec import structs

from fenglin.model.states import SiteState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fenglin.model.site import Site
    from fenglin.ports.driver import SiteReport

MOST_LICENCES = 10**9


@dataclass(slots=True)
class SiteStatus:
    """One site as declared, wished and observed.

    Attributes:
        site: As declared in the configuration.
        drained: The operator's reason for draining; None when not drained.
        down: Why it cannot be reached; empty when it can.
        unready: Why no new work goes there before what it holds is settled; empty when it may.
        resting: Why no new work goes there for a while; empty when it may.
        report: Newest inventory; None before the first.
        seen_ms: Unix time of its last good answer.
    """

    site: Site
    drained: str | None = None
    down: str = "not yet seen"
    unready: str = ""
    resting: str = ""
    report: SiteReport | None = None
    seen_ms: int = 0

    def effective(self) -> Site:
        """Return the site as the planner must see it."""
        nodes = self.site.nodes
        licences = self.site.licences
        capabilities = self.site.capabilities
        if self.report is not None:
            up = {node.name: node.up for node in self.report.nodes}
            nodes = tuple(structs.replace(n, up=up.get(n.name, False)) for n in nodes)
            licences = _sane_licences(self.report.licences) or licences
            if self.report.capabilities is not None:
                capabilities = tuple(sorted(self.report.capabilities))
        state, reason = SiteState.ACTIVE, ""
        if self.down or self.unready or self.resting:
            state, reason = SiteState.DOWN, self.down or self.unready or self.resting
        elif self.drained is not None:
            state, reason = SiteState.DRAINED, self.drained
        return structs.replace(
            self.site,
            nodes=nodes,
            licences=licences,
            capabilities=capabilities,
            state=state,
            state_reason=reason,
        )

    def possible(self) -> Site:
        """Return the site as it is when nothing is wrong with it."""
        nodes = tuple(structs.replace(node, up=True) for node in self.site.nodes)
        return structs.replace(
            self.effective(), nodes=nodes, state=SiteState.ACTIVE, state_reason=""
        )


def _sane_licences(told: Sequence[tuple[str, int]]) -> tuple[tuple[str, int], ...]:
    """Return licences that can be planned with, whatever a site has said."""
    return tuple(sorted({name: min(max(0, count), MOST_LICENCES) for name, count in told}.items()))
