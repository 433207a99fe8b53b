"""`fenglin offer` answers from files, without any hub."""

import gzip
import json

import pytest

HEADER = (
    "InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,Price,SpotPrice,Region,"
    "AvailabilityZone\n"
)
A = HEADER + "big,A100,8,96,1152,32.7726,9.8,r1,z1\nsmall,,,4,16,0.2,0.05,r2,z2\n"
B = "cloud," + HEADER + "b,gpu8,A100,8,124,1800,8.8,,r1,\nb,tiny,,,4,16,0.1,,r1,\n"
CHAIN = """tasks:
  - {name: prepare, cpus: 4+, hours: 2, output_gb: 100}
  - {name: train, any_of: ["A100:8", "H100:8"], hours: 0.5, nodes: 2}
"""
EGRESS = "src,dest,cost\nb:r1,a:r2,0.09\n"


@pytest.fixture
def lists(tmp_path):
    (tmp_path / "a.csv").write_text(A)
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(B.encode()))
    a, b = tmp_path / "a.csv", tmp_path / "b.csv.gz"
    return ["--catalogue", a, "--catalogue", b, "--provider-of", f"{a}=a"]


def test_cheapest(fenglin, lists):
    done = fenglin("offer", "cheapest", *lists, "--accelerators", "A100:8")
    assert done.code == 0, done.err
    assert "gpu8" in done.out
    assert "8.80 USD/h" in done.out
    done = fenglin("offer", "cheapest", *lists, "--accelerators", "A100:8", "--spot", "-o", "json")
    answer = json.loads(done.out)
    assert (answer["offer"]["instance"], answer["offer"]["price_micro"]) == ("big", 9_800_000)
    assert answer["lists"]["rows"] == 4
    (receipt,) = answer["alternatives"]
    assert [one["reason"] for one in receipt["refused"]] == ["spot_not_offered"]
    assert receipt["near"][0]["change"] == "pay the full price"


def test_any_of_and_bounds(fenglin, lists):
    words = ["--any-of", "H100:8", "--any-of", "A100:8", "--cpus", "90+", "--memory", "1000+"]
    words += ["--region", "a:r1", "--provider", "a", "--max-price", "33", "-o", "json"]
    answer = json.loads(fenglin("offer", "cheapest", *lists, *words).out)
    assert answer["offer"]["instance"] == "big"
    assert len(answer["alternatives"]) == 2


def test_none_exits_3_and_says_what_to_change(fenglin, lists):
    done = fenglin("offer", "cheapest", *lists, "--accelerators", "A100:8", "--max-price", "1")
    assert done.code == 3
    assert "pay up to 8.80 USD/h" in done.err
    assert "over_price_ceiling" in done.out
    done = fenglin("offer", "cheapest", *lists, "--accelerators", "A10:8")
    assert "did you mean A100?" in done.err


def test_chain(fenglin, lists, tmp_path):
    (tmp_path / "chain.yaml").write_text(CHAIN)
    (tmp_path / "egress.csv").write_text(EGRESS)
    words = ["offer", "chain", tmp_path / "chain.yaml", *lists]
    words += ["--egress", tmp_path / "egress.csv"]
    done = fenglin(*words, "-o", "json")
    assert done.code == 0, done.err
    plan = json.loads(done.out)["plan"]
    assert [step["offer"]["instance"] for step in plan["steps"]] == ["tiny", "gpu8"]
    assert plan["total_micro"] == 200_000 + 8_800_000
    assert "total  9.00 USD" in fenglin(*words).out


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("tasks: [{hours: 1, gpus: 2}]", "gpus"),
        ("tasks: [{hours: long}]", "tasks[0].hours"),
        ("tasks: [{hours: 1, cpus: many}]", "tasks[0].cpus"),
        ("tasks: [{hours: 1, nodes: 0}]", "tasks[0].nodes"),
        ("tasks: [", "broken YAML"),
        ("", "Expected `object`"),
    ],
)
def test_wrong_chains_are_refused(fenglin, lists, tmp_path, text, says):
    (tmp_path / "chain.yaml").write_text(text)
    done = fenglin("offer", "chain", tmp_path / "chain.yaml", *lists)
    assert done.code == 2
    assert says in done.err


def test_a_chain_without_offers_names_the_task(fenglin, lists, tmp_path):
    (tmp_path / "chain.yaml").write_text("tasks: [{name: big, hours: 1, cpus: 999}]")
    done = fenglin("offer", "chain", tmp_path / "chain.yaml", *lists)
    assert done.code == 3
    assert "big" in done.err


def test_bad_rows_strict_and_lenient(fenglin, tmp_path):
    path = tmp_path / "bad.csv"
    path.write_text(A + "m,,,4,16,cheap,,r,z\n")
    words = ["offer", "cheapest", "--catalogue", path, "--provider-of", f"{path}=a"]
    done = fenglin(*words)
    assert done.code == 2
    assert f"{path}:4:6: Price: 'cheap' is not an amount" in done.err
    assert done.out == ""
    done = fenglin(*words, "--lenient")
    assert done.code == 0
    assert "small" in done.out
    assert "1 bad rows were left out" in done.err


def test_files_that_cannot_be_read(fenglin, lists, tmp_path):
    cut = tmp_path / "cut.csv.gz"
    cut.write_bytes(gzip.compress(B.encode() * 50)[:-40])
    for path, says in ((cut, "cannot be read"), (tmp_path / "none.csv", "No such file")):
        done = fenglin("offer", "cheapest", "--catalogue", path)
        assert done.code == 2
        assert says in done.err
    done = fenglin("offer", "cheapest", *lists, "--provider-of", "x=y")
    assert done.code == 2
    assert "--provider-of" in done.err
