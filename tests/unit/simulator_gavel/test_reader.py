"""The reader and the command: what is there is read, what is broken is said."""

import gzip
import json

import pytest

from fenglin.cli import main
from fenglin.errors import FenglinError, InputError, NotFoundError
from fenglin.simulator.gavel.read import published, read_jobs, read_rates

TYPES = ("v100", "k80")
RATES = "simulation_throughputs.json.gz"


def packed(value):
    return gzip.compress(json.dumps(value).encode(), mtime=0)


def table_of(folder):
    return json.loads(gzip.decompress((folder / RATES).read_bytes()))


def test_tables_and_jobs_are_read_as_written(folder):
    rates, kinds = read_rates(folder, TYPES, 360.0)
    assert kinds == {"('Big', 2)": 0, "('Net', 1)": 1}
    assert rates.alone.tolist() == [[4.0, 10.0], [1.0, 5.0]]
    assert rates.beside[:, 1, 1].tolist() == [8.0, 2.0]
    assert rates.beside[:, 0, 1].tolist() == [0.0, 0.0]
    assert rates.workers.tolist() == [2, 1]
    assert rates.top.tolist() == [4.0, 10.0]
    jobs = read_jobs(folder, "multi", 3, 2.0, kinds)
    assert jobs.arrival_s[:3].tolist() == [0.0, 1800.0, 3600.0]
    assert jobs.kind.tolist() == [1, 0] * 4
    assert jobs.steps[:2].tolist() == [36_000.0, 14_400.0]
    assert published(folder, "single", 1.0) == {"fifo": 1.5, "allox": 1.25}
    assert published(folder, "multi", 1.0) == {}


def test_a_throughput_of_no_step_a_round_is_none(folder):
    rates, _ = read_rates(folder, TYPES, 0.5)
    assert rates.alone.tolist() == [[4.0, 10.0], [0.0, 5.0]]
    with pytest.raises(InputError, match="no progress"):
        read_rates(folder, ("k80",), 0.5)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"no gzip", "gzip data is broken"),
        (packed({})[:-9], "gzip data is broken"),
        (gzip.compress(b"{", mtime=0), "no JSON"),
        (gzip.compress(b"\xff\xfe", mtime=0), "no JSON"),
        (packed([1]), "no table of throughput"),
        (packed({"v100": {"('A', 1)": {}}, "k80": {}}), "no throughput of .* alone"),
        (packed({"v100": {"('A', 1)": {"null": -1}}, "k80": {}}), "has the throughput -1"),
        (packed({"v100": {"A": {"null": 1}}, "k80": {"A": {"null": 1}}}), "no kind of job"),
        (
            packed({t: {"('A', 1)": {"null": 1, "('A', 1)": 3}} for t in TYPES}),
            "has the throughput None",
        ),
    ],
)
def test_broken_tables_are_told(folder, content, said):
    (folder / RATES).write_bytes(content)
    with pytest.raises(InputError, match=said) as found:
        read_rates(folder, TYPES, 360.0)
    assert RATES in found.value.where


def test_what_is_missing_is_told(folder, tmp_path):
    with pytest.raises(NotFoundError, match="no throughput on 'h100'"):
        read_rates(folder, ("h100",), 360.0)
    with pytest.raises(NotFoundError, match="no such file"):
        read_rates(tmp_path / "none", TYPES, 360.0)
    with pytest.raises(NotFoundError, match="no such folder"):
        read_jobs(tmp_path / "none", "single", 3, 1.0, {})
    with pytest.raises(NotFoundError, match="continuous_triple"):
        read_jobs(folder, "triple", 3, 1.0, {})
    with pytest.raises(NotFoundError, match="no seed 9") as found:
        read_jobs(folder, "single", 9, 1.0, {})
    assert "there are: 3" in found.value.hint


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda frame, _: frame.drop("total_steps"), "lacks the columns total_steps"),
        (lambda frame, pl: frame.with_columns(pl.col("job_id") + 1), "do not run from 0"),
        (lambda frame, pl: frame.with_columns(job_type=pl.lit("New")), "no throughput of"),
        (lambda frame, pl: frame.with_columns(-pl.col("unit_arrival")), "arrivals .* do not rise"),
        (lambda frame, pl: frame.with_columns(total_steps=pl.lit(-1.0)), "job 0 has -1.0 steps"),
    ],
)
def test_broken_jobs_are_told(folder, change, said):
    import polars as pl  # noqa: PLC0415 - an extra, which the fixture has looked for

    path = folder / "continuous_single_seed3.parquet"
    change(pl.read_parquet(path), pl).write_parquet(path)
    with pytest.raises(InputError, match=said):
        read_jobs(folder, "single", 3, 1.0, {"('Net', 1)": 0})
    path.write_bytes(b"nothing")
    with pytest.raises(FenglinError, match="no Parquet file"):
        read_jobs(folder, "single", 3, 1.0, {})


def test_a_broken_table_of_what_was_published_is_told(folder):
    (folder / "published_avg_jct.csv").write_text("workload,jobs_per_hour\nsingle,x\n")
    with pytest.raises(InputError, match="table is broken"):
        published(folder, "single", 1.0)
    (folder / "published_avg_jct.csv").unlink()
    assert published(folder, "single", 1.0) == {}


def run(folder, *words):
    asked = ["simulate", "gavel", "--data", str(folder), "--seed", "3", "--jobs", "0-7", *words]
    return main([*asked, "--cluster", "v100:2,k80:2"])


def test_the_command_tells_all_in_json(folder, capsys):
    assert run(folder, "--rate", "1", "--policy", "fifo", "-o", "json") == 0
    told = json.loads(capsys.readouterr().out)
    # One job an hour, an hour each at 10 steps/s: nobody waits longer than for its round.
    assert 1.0 <= told["avg_jct_h_mean"] <= 2.1
    assert told["avg_jct_h"] == {"3": told["avg_jct_h_mean"]}
    assert told["published_avg_jct_h"] == 1.5
    assert told["best_published_avg_jct_h"] == 1.25
    assert told["jobs"] == 8
    assert told["leases"] >= told["rounds"] > 0
    assert told["cluster"] == {"v100": 2, "k80": 2}
    assert told["replan_s"] == 1920.0


def test_the_command_prints_a_table(folder, capsys):
    assert run(folder, "--rate", "1", "--multi") == 0
    shown = capsys.readouterr().out
    assert "AVERAGE JCT H" in shown
    assert "leases per second" in shown


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--rate", "0"), 2, "0.0 is out of range"),
        (("--rate", "1", "--round", "-1"), 2, "--round"),
        (("--rate", "1", "--policy", "best"), 2, "no policy 'best'"),
        (("--rate", "1", "--jobs", "0-8"), 2, "jobs 0 to 7"),
        (("--rate", "1", "--seeds", "x"), 2, "no seed"),
        (("--rate", "1", "--seed", "9"), 3, "no seed 9"),
        (("--rate", "1", "--data", "nowhere"), 3, "nowhere"),
    ],
)
def test_wrong_words_are_told(folder, capsys, words, code, said):
    assert run(folder, *words) == code
    assert said in capsys.readouterr().err


def test_a_job_too_large_for_the_cluster_is_told(folder, capsys):
    asked = ["simulate", "gavel", "--data", str(folder), "--rate", "1", "--seed", "3", "--multi"]
    assert main([*asked, "--jobs", "0-7", "--cluster", "v100:1,k80:1"]) == 5
    assert "4 jobs fit no type" in capsys.readouterr().err
