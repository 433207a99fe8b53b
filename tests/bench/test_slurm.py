"""What the row `slurm` asks of Slurm, and what it makes of the answers."""

import shutil

import pytest
from bench.effort import BenchError
from bench.slurm_control import PATH, PROGRAMS, Ask, Control, total_ms
from bench.slurm_plan import BALANCED, Ours, room_for_all, too_many

SDIAG = """Main schedule statistics (microseconds):
\tLast cycle:   356
\tMax cycle:    15082697
\tTotal cycles: 2
\tMean cycle:   7541526
\tMean depth cycle:  1500
\tLast queue length: 0
"""
NONE_YET = """Main schedule statistics (microseconds):
\tLast cycle:   0
\tMax cycle:    0
\tTotal cycles: 0
\tLast queue length: 3001
"""
missing = [name for name in PROGRAMS if not shutil.which(name, path=PATH)]
needs_slurm = pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


def test_cycles_are_summed():
    assert total_ms(SDIAG) == pytest.approx(15_083.052)
    assert total_ms(NONE_YET) == 0


def test_missing_slurm_is_told_with_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setattr("bench.slurm_control.PATH", str(tmp_path))
    with pytest.raises(BenchError, match=r"slurmctld.*apt-get install.*slurm-wlm munge"):
        Control(tmp_path)


def test_both_get_the_same_needs():
    words = Ask(nodes=2, cores=16, memory_gib=32, cards=4, minutes=90).words()
    assert words == [
        "--nodes=2", "--ntasks-per-node=1", "--cpus-per-task=16", "--mem=32G", "--time=90",
        "--gres=gpu:4",
    ]  # fmt: skip


def test_queues_are_what_they_are_called():
    roomy = Ours(room_for_all(300), 100, BALANCED, None)
    roomy.cycle()
    assert roomy.started == 300
    crowd = Ours(too_many(300, 100), 100, BALANCED, None)
    crowd.cycle()
    assert 0 < crowd.started < 300


@needs_slurm
def test_slurm_plans_on_nodes_that_do_not_exist(tmp_path_factory, monkeypatch):
    monkeypatch.setattr("bench.slurm_control.BACKFILL_AFTER_S", 8)
    folder = tmp_path_factory.mktemp("s")
    slurm = Control(folder)
    with slurm.munge():
        slurm.submit("few", 8, [Ask(1, 64, 8, 0, 10)] * 5)
        all_of_them = slurm.start_all("few", 40)
        some = slurm.start_and_date("few", 4, 10)
    assert (all_of_them.started, all_of_them.dated) == (5, 0)
    assert all_of_them.thread_ms > 0
    assert all_of_them.stated_ms > 0
    assert (some.started, some.dated) == (4, 1)
