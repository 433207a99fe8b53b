"""Cards are read from what their makers' tools print, and counted by the registry's names."""

import importlib.util
from pathlib import Path

import pytest

from fenglin.drivers.ssh.cards import MIB, cards_variable, read_cards
from fenglin.drivers.ssh.inventory import judge
from fenglin.model.site import Flavor
from fenglin.model.states import ComputeClass
from fenglin.quantities.resources import Resources

_SPEC = importlib.util.spec_from_file_location("samples", Path(__file__).with_name("samples.py"))
samples = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(samples)
GIB = 2**30
MACHINE = {
    "cores": 8,
    "memory_bytes": 64 * GIB,
    "disk_bytes": 100 * GIB,
    "disk_free_bytes": 50 * GIB,
    "kernel": "6.1",
    "hostname": "h",
    "boot": "b",
    "memory": "m",
    "tools": {},
}


def seen(**tools):
    return [(c.number, c.model, c.memory_bytes) for c in read_cards(tools)]


@pytest.mark.parametrize(
    ("tool", "text", "cards"),
    [
        (
            "nvidia-smi",
            samples.NVIDIA,
            [
                (0, "A100-80", 81920 * MIB),
                (1, "A100-80", 81920 * MIB),
                (2, "RTX4090", 24564 * MIB),
                (3, "", 0),
            ],
        ),
        ("nvidia-smi", samples.NVIDIA_BROKEN, []),
        ("npu-smi", samples.NPU, [(0, "Ascend910B", 65536 * MIB), (2, "Ascend910B", 65536 * MIB)]),
        (
            "npu-smi",
            samples.NPU_TWO_CHIPS,
            [(0, "Ascend310P", 21527 * MIB), (1, "Ascend310P", 21527 * MIB)],
        ),
        ("rocm-smi", samples.ROCM, [(0, "", 68702699520), (1, "", 68702699520)]),
        ("hy-smi", samples.HYGON, [(n, "K100_AI", 68702699520) for n in (0, 2, 10)]),
    ],
)
def test_tools(tool, text, cards):
    assert seen(**{tool: text}) == cards


@pytest.mark.parametrize("tool", ["nvidia-smi", "npu-smi", "rocm-smi", "hy-smi"])
@pytest.mark.parametrize(
    "text", ["", "\0", "{", "[]", "null", '{"card0": 3}', "a, b, c", "|||", "9" * 5000, "🙂"]
)
def test_nonsense_tells_of_no_cards(tool, text):
    assert seen(**{tool: text}) == []


def test_two_tools_of_one_maker_do_not_double_its_cards():
    assert len(seen(**{"hy-smi": samples.HYGON, "rocm-smi": samples.HYGON})) == 3
    assert len(seen(**{"hy-smi": "", "rocm-smi": samples.ROCM})) == 2
    assert len(seen(**{"nvidia-smi": samples.NVIDIA, "npu-smi": samples.NPU})) == 6


@pytest.mark.parametrize(
    ("accelerator", "variable"),
    [
        ("A100-80", "CUDA_VISIBLE_DEVICES"),
        ("nvidia a100-sxm4-80gb", "CUDA_VISIBLE_DEVICES"),
        ("Ascend910B", "ASCEND_RT_VISIBLE_DEVICES"),
        ("K100_AI", "HIP_VISIBLE_DEVICES"),
        ("MLU370-X8", ""),
        ("", ""),
    ],
)
def test_what_confines_a_process_to_its_cards(accelerator, variable):
    assert cards_variable(accelerator) == variable


def flavor(cards=0, accelerator="", cpu=8, memory_gib=64):
    node = Resources(cpu * 1_000, memory_gib * GIB, 10 * GIB, cards * 1_000)
    return Flavor("f", ComputeClass.AI, node, accelerator=accelerator)


@pytest.mark.parametrize(
    ("want", "tools", "problem"),
    [
        (flavor(2, "A100-80"), {"nvidia-smi": samples.NVIDIA}, ""),
        (flavor(3, "A100-80"), {"nvidia-smi": samples.NVIDIA}, "2 of 3 cards A100-80 are there"),
        (flavor(1, "H800"), {"nvidia-smi": "0, NVIDIA A100-SXM4-80GB, 81920"}, "0 of 1 cards H800"),
        (flavor(3, "Ascend910B"), {"npu-smi": samples.NPU}, "2 of 3 cards Ascend910B"),
        (flavor(2, "A100-80"), {"nvidia-smi": samples.NVIDIA_BROKEN}, "0 of 2 cards"),
        (flavor(8, "MLU370-X8"), {}, ""),
        (flavor(), {"nvidia-smi": samples.NVIDIA}, ""),
        (flavor(2, "MI250"), {"rocm-smi": samples.ROCM}, ""),
    ],
)
def test_cards_that_are_missing_make_a_node_unusable(want, tools, problem):
    facts = judge("n", "h", want, {**MACHINE, "tools": tools}, 1)
    assert facts.problem.startswith(problem)
    assert bool(facts.problem) == bool(problem)


def test_fewer_cores_or_memory_are_remarked_on_only():
    assert judge("n", "h", flavor(), MACHINE, 1).remarks == ()
    facts = judge("n", "h", flavor(cpu=9, memory_gib=80), MACHINE, 1)
    assert (facts.problem, len(facts.remarks)) == ("", 2)
    # What the kernel keeps for itself is no remark.
    assert judge("n", "h", flavor(memory_gib=68), MACHINE, 1).remarks == ()


@pytest.mark.parametrize("told", [{}, {**MACHINE, "cores": "many"}, {**MACHINE, "tools": 3}])
def test_a_host_that_tells_nonsense_is_an_error(told):
    with pytest.raises((KeyError, TypeError, ValueError)):
        judge("n", "h", flavor(), told, 1)
