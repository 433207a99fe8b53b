"""What the simulator has found in the hub, each by a seed that showed it and must not again.

A seed's story changes with the code, so each bug has a test of its own room as well, or a plant
in `test_plants.py` that puts it back; `docs/decisions` tells what each was.
"""

import pytest

from fenglin.testing.dst.run import report, run_seed
from fenglin.testing.dst.world import EXTRAS, SMALL

FOUND = {
    "a moment beyond 64 bits ended every hub": (0, ["garbage figures"]),
    "a licence count beyond 64 bits ended every hub": (20, ["garbage figures"]),
    "ids and keys were given out again after a restore": (100, ["old backup restored"]),
    "epochs came twice after a second restore": (103, ["old backup restored"]),
    "what ran unknown ran beside its own tasks": (107, ["old backup restored"]),
    "a site not listed at the start was never asked again": (109, ["old backup restored"]),
    "two absences days apart counted as one long one": (72, []),
    "an impossible gang was admitted while a site was down": (350, []),
    "a refusal was read by nobody when its caller had gone": (1, ["disk full", "disk slow"]),
    "a released job waited for ever for a parent that had ended": (13, ["ill jobs"]),
    "a job after one that was set aside was refused": (174, ["ill jobs"]),
    "one listing that waited for the disk counted as a long absence": (12487, []),
    "an idle loop slept on a job that it could not take in": (11012, ["ill jobs"]),
}


@pytest.mark.parametrize("name", FOUND)
def test_what_was_found_stays_mended(name):
    seed, more = FOUND[name]
    # What was found without vouchers or ill jobs is looked for without them.
    outcome = run_seed(seed, SMALL, more=more, plain=not {*more} & {*EXTRAS})
    assert outcome.violation is None, report(outcome)
