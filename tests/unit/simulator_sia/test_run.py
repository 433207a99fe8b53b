"""The reader, the run of a job, and the command."""

import json
import os
import shutil
from pathlib import Path

import pytest

from fenglin.cli import main
from fenglin.errors import InputError, NotFoundError
from fenglin.planner.rounds.columns import NOWHERE
from fenglin.simulator.sia.job import Profile, Run, advance, move
from fenglin.simulator.sia.run import CLUSTER, POLICIES, new_world, run_jobs, simulate
from fenglin.simulator.sia.tables import read_applications, read_jobs

ROOT = Path(__file__).parents[3]
KINDS = [kind for kind, _, _ in CLUSTER]


@pytest.fixture(scope="module")
def net(folder):
    return read_applications(folder, KINDS)


def test_measured_times_are_read(net):
    app = net["net"]
    assert app.marks.tolist() == [4_000.0, 8_000.0, 12_000.0]
    assert app.limits["aws"] == (128.0, 2048.0, 32.0, 128.0)
    assert app.points("aws", 1, 1).at(48) == pytest.approx((0.15, 0.0))
    # Five nodes were not measured: the next number of nodes counts.
    assert app.points("aws", 5, 20).at(32) == pytest.approx((0.3, 0.2))
    with pytest.raises(InputError, match="no times"):
        app.points("aws", 7, 28)
    assert app.gradient(300, 1) == (1.0, 20.0)


def test_jobs_are_read_from_the_table_and_from_published_files(folder, net, tmp_path):
    jobs = read_jobs(folder, "small", 1, net)
    assert (len(jobs), jobs[1].submitted_s, jobs[1].cards) == (12, 220.0, 4)
    assert [job.name for job in read_jobs(folder, "helios", 1, net)] == ["net-0", "net-4"]
    home = tmp_path / "workloads" / "mine"
    home.mkdir(parents=True)
    head = "name,time,application,num_replicas,batch_size\n"
    (home / "workload-3.csv").write_text(head + "a,7.5,net,2,256\n")
    assert read_jobs(tmp_path, "mine", 3, net)[0].submitted_s == 7.5
    (home / "workload-4.csv").write_text(head + "a,-1,net,2,256\n")
    with pytest.raises(InputError, match="time is negative"):
        read_jobs(tmp_path, "mine", 4, net)
    with pytest.raises(NotFoundError, match="no jobs of 'small', stream 2"):
        read_jobs(folder, "small", 2, net)
    with pytest.raises(InputError, match="'other' was not measured"):
        read_jobs(folder, "odd", 1, net)
    with pytest.raises(InputError, match=r"there is no placements\.parquet|there is no valid"):
        read_applications(tmp_path, KINDS)
    with pytest.raises(InputError, match="no cards 'h100' were measured"):
        read_applications(folder, ["h100"])


def test_steps_without_computing_are_refused(folder, tmp_path):
    polars = pytest.importorskip("polars", reason="Polars is not installed: fenglin[simulate]")
    shutil.copytree(folder, tmp_path / "data")
    path = tmp_path / "data" / "placements.parquet"
    table = polars.read_parquet(path).with_columns(polars.col("step_time").alias("sync_time"))
    table.write_parquet(path)
    with pytest.raises(InputError, match="no longer than its synchronising"):
        read_applications(tmp_path / "data", KINDS)


def test_a_job_loads_and_then_trains(folder, net):
    world = new_world("sia", CLUSTER)
    run = Run(read_jobs(folder, "small", 1, net)[0], net["net"], Profile.empty(3))
    advance(run, world.shop, 0.0, 60.0)
    assert (run.progress, run.card_s) == (0.0, 0.0)
    move(run, world.shop, 0)
    advance(run, world.shop, 60.0, 20.0)
    assert (run.loading_s, run.progress) == (10.0, 0.0)
    advance(run, world.shop, 80.0, 20.0)
    # One T4, a batch of 128 in one pass of 0.4 s, 1.2 times as long as measured.
    assert run.progress == pytest.approx(10.0 / 0.48, rel=1e-6)
    assert run.card_s == 40.0
    move(run, world.shop, NOWHERE)
    before = run.progress
    advance(run, world.shop, 100.0, 60.0)
    assert run.progress == before


@pytest.mark.parametrize("policy", POLICIES)
def test_every_policy_ends_all_jobs(folder, net, policy):
    told = simulate(read_jobs(folder, "small", 1, net), net, policy, 60.0)
    assert told.jobs == 12
    assert 0.05 < told.avg_jct_h <= told.p99_jct_h <= told.makespan_h < 3.0
    assert (told.restarts == 0) == (policy == "fifo")


def test_what_comes_later_changes_nothing_earlier(folder, net):
    jobs = read_jobs(folder, "small", 1, net)
    whole, part = new_ends(jobs, net), new_ends(jobs[:6], net)
    early = [name for name, end in part.items() if end <= jobs[6].submitted_s]
    assert early
    assert {name: whole[name] for name in early} == {name: part[name] for name in early}


def new_ends(jobs, net):
    runs, _ = run_jobs(new_world("fenglin", CLUSTER), jobs, net, 60.0)
    return {one.job.name: one.ended_s for one in runs}


def test_the_command_tells_figures(folder, capsys):
    asked = ["simulate", "sia", "--data", str(folder), "--workload", "small", "--seeds", "1"]
    assert main([*asked, "-o", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["avg_jct_h"] == {"1": told["avg_jct_h_mean"]}
    assert told["makespan_h"]["1"] >= told["avg_jct_h_mean"]
    assert main(asked) == 0
    assert "mean makespan" in capsys.readouterr().out
    assert main([*asked, "--policy", "nobody"]) != 0
    assert "no policy 'nobody'" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(("policy", "low", "high"), [("sia", 0.5, 0.6), ("fenglin", 0.42, 0.5)])
def test_a_published_stream(policy, low, high):
    home = Path(os.environ.get("FENGLIN_TEST_DATA", ROOT.parent / "shared" / "data"))
    data = home / "dl" / "sia"
    if not data.is_dir():
        pytest.skip(f"the reference data is not here: no {data} (FENGLIN_TEST_DATA)")
    pytest.importorskip("numba", reason="Numba is not installed: it would take a minute")
    known = read_applications(data, KINDS)
    told = simulate(read_jobs(data, "philly", 1, known), known, policy, 60.0)
    assert low < told.avg_jct_h < high
