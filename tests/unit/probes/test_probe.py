"""The probe runs with python3 alone, measures what is there, and names what is not."""

import json
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest

from fenglin.errors import InputError
from fenglin.probes import FIGURES_FILE, read_answer, read_script, script_sha256
from fenglin.probes import probe as script

TINY = ["--size", "32", "--seconds", "0.01", "--memory-mib", "1", "--disk-mib", "1",
        "--net-mib", "1"]  # fmt: skip


def run(folder, *flags, env=None):
    path = folder / "probe.py"
    path.write_bytes(read_script())
    return subprocess.run(
        [sys.executable, *flags, path, *TINY],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", **(env or {})},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    ).stdout


def test_without_numpy_it_measures_the_rest_and_says_so(tmp_path):
    # -S leaves out the site's packages: a bare python3.
    answer = read_answer(run(tmp_path, "-S", "-I").encode(), "x")
    assert {one.what for one in answer.figures} == {
        "memory_copy", "disk_write", "disk_read", "loopback_round_trip", "loopback_throughput",
    }  # fmt: skip
    assert all(one.value > 0 for one in answer.figures)
    assert {one.what: one.why for one in answer.missing}["fp64"] == "numpy absent"
    assert [one.name for one in tmp_path.iterdir()] == ["probe.py"]  # nothing is left behind


def test_with_numpy_it_multiplies_and_keeps_the_answer(tmp_path):
    pytest.importorskip("numpy")
    kept = tmp_path / "kept"
    kept.mkdir()
    env = {"FENGLIN_ARTIFACTS_DIR": str(kept), "FENGLIN_CPUS": "1"}
    text = run(tmp_path, env=env)
    assert (kept / FIGURES_FILE).read_text() == text
    answer = read_answer(text.encode(), "x")
    found = {one.what: one for one in answer.figures}
    assert answer.cores == 1
    for precision in ("fp64", "fp32"):
        assert (found[precision].unit, found[precision].value > 0) == ("TFLOPS", True)
        assert "32 x 32, 1 cores" in found[precision].how


def test_the_first_of_several_nodes_measures_the_line_to_the_others(tmp_path):
    path = tmp_path / "probe.py"
    path.write_bytes(read_script())
    env = {
        "PATH": "/usr/bin:/bin", "FENGLIN_JOB_ID": str(tmp_path), "FENGLIN_NODES": "a,b,c",
        "FENGLIN_NODE_ADDRESSES": "127.0.0.1,127.0.0.2,127.0.0.3",
    }  # fmt: skip
    ranks = [
        subprocess.Popen(
            [sys.executable, path, *TINY],
            env={**env, "FENGLIN_NODE_RANK": str(rank)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(3)
    ]
    first, *others = [one.communicate(timeout=120)[0] for one in ranks]
    assert others == ["measured from the first node\n"] * 2
    found = {one.what: one for one in read_answer(first.encode(), "x").figures}
    where = "TCP from a to 2 other nodes, the worst of them, "
    for what, unit in (("network_round_trip", "us"), ("network_throughput", "Gbit/s")):
        assert (found[what].unit, found[what].how.startswith(where)) == (unit, True)


def test_a_node_that_is_not_found_is_named_and_the_rest_is_measured(monkeypatch):
    monkeypatch.setattr(script, "MEET_S", 0.1)
    them = script.Gang(
        0, ["a", "b", "c"], ["127.0.0.1", "127.0.0.2", "no.such.host.invalid"], b"x" * 32
    )
    report = script.Report()
    report.attempt("network", script.between, 1, them)
    report.attempt(
        "network", script.between, 1, them._replace(addresses=["127.0.0.1", them.addresses[2]])
    )
    assert report.figures == []
    near, far = (one["why"] for one in report.missing)
    assert "127.0.0.2 was not reached: " in near
    assert far.startswith("gaierror: ")
    assert script.wait_for_first(them._replace(rank=2)).startswith("not measured: ")
    assert script.wait_for_first(them._replace(rank=1)) == "not measured: timed out"


def test_a_server_with_another_word_is_not_measured(monkeypatch):
    monkeypatch.setattr(script, "MEET_S", 0.1)
    them = script.Gang(0, ["a", "b"], ["127.0.0.1", "127.0.0.1"], b"y" * 32)
    heard = []

    def other():
        there, _ = server.accept()
        with there:
            heard.append(script.greeted(there, b"z" * 32))

    with script.listening(them) as server:
        answering = threading.Thread(target=other, daemon=True)
        answering.start()
        with pytest.raises(OSError, match="was not reached"):
            script.meet(them, "127.0.0.1", 0)
        answering.join(30)
    assert heard == [False]


def test_one_measurement_that_fails_keeps_no_other_from_running():
    report = script.Report()

    def broken(_report):
        raise OSError("no space left\non the disk")

    report.attempt("disk", broken)
    report.attempt("disk_write", lambda own: own.add("disk_write", 1.5, "MB/s", "words"))
    assert report.missing == [{"what": "disk", "why": "OSError: no space left on the disk"}]
    assert report.figures[0]["value"] == 1.5


class Tensor:
    def to(self, _kind):
        return self

    def t(self):
        return self

    def copy_(self, _other):
        return self


def fake_torch():
    """Return what the probe needs of PyTorch; INT8 products are not there."""
    cuda = SimpleNamespace(
        is_available=lambda: True,
        get_device_name=lambda _number: "NVIDIA H20",
        synchronize=lambda: None,
        matmul=None,
    )
    matmul = SimpleNamespace(allow_tf32=False)
    return SimpleNamespace(
        __version__="2.0", cuda=cuda, float64="f8", float32="f4", float16="f2", bfloat16="b2",
        int8="i1", uint8="u1", backends=SimpleNamespace(cuda=SimpleNamespace(matmul=matmul)),
        rand=lambda *_a, **_k: Tensor(), randint=lambda *_a, **_k: Tensor(),
        zeros=lambda *_a, **_k: Tensor(), empty_like=lambda _one: Tensor(),
        matmul=lambda _a, _b: Tensor(),
    )  # fmt: skip


def test_on_a_card_each_precision_is_measured_alone(monkeypatch):
    torch = fake_torch()
    monkeypatch.setattr(script, "library", lambda name: torch if name == "torch" else None)
    assert script.card_library() == (torch, "NVIDIA H20")
    report = script.Report()
    script.products_on_card(report, torch, 16, 0.001)
    assert [one["what"] for one in report.figures] == [
        "fp64", "fp32", "tf32", "fp16", "bf16", "card_memory_copy",
    ]  # fmt: skip
    assert [one["what"] for one in report.missing] == ["int8"]
    assert torch.backends.cuda.matmul.allow_tf32 is False  # as left by the last, BF16


def test_cores_are_those_that_were_asked_for(monkeypatch):
    monkeypatch.setattr(script.os, "sched_getaffinity", lambda _pid: set(range(8)))
    for asked, count in (("2", 2), ("0.5", 1), ("64", 8), ("many", 8)):
        monkeypatch.setenv("FENGLIN_CPUS", asked)
        assert script.cores() == count


@pytest.mark.parametrize(
    "data",
    [
        b"", b"[]", b"\xff", b" " * 70_000,
        json.dumps({"probe": 1, "node": "n", "cpu": "", "cores": 1, "card": "",
                    "figures": [{"what": "a", "value": -1, "unit": "b", "how": "c"}]}).encode(),
    ],
)  # fmt: skip
def test_what_is_no_answer_is_refused(data):
    with pytest.raises(InputError, match="x"):
        read_answer(data, "x")


def test_the_script_has_one_address():
    assert len(script_sha256()) == 64
