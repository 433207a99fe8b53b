"""The machines of the spot trace."""

import pytest

from fenglin.errors import InputError
from fenglin.simulator.readers.spot import SpotNode, read_nodes
from fenglin.simulator.trace import Findings


def test_machines(put):
    path = put(
        "nodes.csv",
        "gpu_model,gpu_capacity_num,cpu_num,node_name\nA10,1,128,2\nH800,-8,192,3\nH800,8,192,4\n",
    )
    findings = Findings(path.name)
    assert list(read_nodes(path, findings)) == [
        SpotNode("2", 128, 1, "A10"), SpotNode("4", 192, 8, "H800"),
    ]  # fmt: skip
    assert {one.what: one.lines for one in findings.found.values()} == {
        "gpu_capacity_num is negative": [3]
    }


def test_missing_columns(put):
    with pytest.raises(InputError, match="missing columns: gpu_capacity_num, cpu_num, node_name"):
        list(read_nodes(put("nodes.csv", "gpu_model\nA10\n"), Findings("")))


def test_the_published_machines(archive):
    path = archive("traces/alibaba_v2026_spot_gpu_nodes.csv.gz")
    findings = Findings(path.name)
    nodes = list(read_nodes(path, findings))
    assert (len(nodes), sum(node.gpus for node in nodes)) == (4_278, 10_412)
    assert findings.count == 0
