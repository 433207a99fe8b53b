"""The shipped test kit: a real hub as a subprocess, payloads that judge it, builders, a clock.

For our own tests and for those of third-party drivers. It needs no pytest.
"""

from fenglin.testing.builders import LocalSite, a_job, a_site, a_snapshot, hub_file
from fenglin.testing.clock import FakeClock
from fenglin.testing.hub import HubProcess
from fenglin.testing.truth import Run, TruthDir

__all__ = [
    "FakeClock",
    "HubProcess",
    "LocalSite",
    "Run",
    "TruthDir",
    "a_job",
    "a_site",
    "a_snapshot",
    "hub_file",
]
