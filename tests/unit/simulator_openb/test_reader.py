"""What is read from the folder, and what is said about a broken one."""

import gzip
import re

import pytest

from fenglin.errors import FenglinError, InputError, NotFoundError
from fenglin.simulator.openb.trace import read_streams, workloads

MODELS = 62


def test_streams_are_read_as_written(tiny):
    assert workloads(tiny) == ["tiny"]
    streams = read_streams(tiny, "tiny", [1, 2])
    stream = streams[1]
    assert stream.arrivals.tolist() == [0, 1, 2, 3, 4, 0, 1, 2, 0]
    assert streams[2].arrivals.tolist() == [2, 1, 0, 2, 1, 3, 4, 0, 1]
    assert stream.nodes.order.tolist() == [1, 0]
    assert stream.nodes.gpu_milli.tolist() == [[1000, 1000, 0, 0], [1000] * 4]
    assert stream.nodes.model.tolist() == [1, 0]
    # Any; G2 or T4; G2; any; a model that no node has.
    assert stream.shapes.models.tolist() == [0, 0b11, 0b01, 0, 1 << MODELS]
    assert stream.shapes.gpus.tolist() == [1, 1, 2, 0, 1]
    assert stream.pods.tolist() == [1] * 5


def test_nodes_may_lie_elsewhere(tiny, tmp_path):
    elsewhere = tmp_path / "mine.csv"
    elsewhere.write_text("model,sn,gpu,memory_mib,cpu_milli\nT4,node-a,1,5,6\n", encoding="utf-8")
    stream = read_streams(tiny, "tiny", [1], elsewhere)[1]
    assert stream.nodes.cpu_milli.tolist() == [6]


def packed(text):
    return gzip.compress(text.encode(), mtime=0)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("pods_tiny.csv.gz", packed("cpu_milli,memory_mib\n1,2\n"), "lacks .*gpu_milli, num_gpu"),
        ("pods_tiny.csv.gz", packed("x" * 5000)[:-9], "gzip data is broken"),
        ("pods_tiny.csv.gz", b"plain text", "gzip data is broken"),
        (
            "pods_tiny.csv.gz",
            packed("cpu_milli,memory_mib,num_gpu,gpu_milli\n1,2,0,0\n1,-2,0,0\n"),
            ":3: memory_mib is '-2'",
        ),
        (
            "pods_tiny.csv.gz",
            packed("cpu_milli,memory_mib,num_gpu,gpu_milli\n1,2,2,500\n"),
            ":2: 2 GPUs with gpu_milli 500",
        ),
        (
            "pods_tiny.csv.gz",
            packed("cpu_milli,memory_mib,num_gpu,gpu_milli\n1,2\n"),
            ":2: .*early",
        ),
        ("pods_tiny.csv.gz", packed("cpu_milli,memory_mib,num_gpu,gpu_milli\n"), "no pods"),
        (
            "pods_tiny.csv.gz",
            packed("cpu_milli,memory_mib,num_gpu,gpu_milli\n1,2,0,0\n"),
            "outside the 1 pods",
        ),
        ("nodes_gpu.csv.gz", packed("sn,cpu_milli,memory_mib,gpu,model\n"), "no nodes"),
        (
            "nodes_gpu.csv.gz",
            packed("sn,cpu_milli,memory_mib,gpu,model\na,1,1,1,X\na,1,1,1,X\n"),
            "twice",
        ),
        (
            "nodes_gpu.csv.gz",
            packed("sn,cpu_milli,memory_mib,gpu,model\nother,1,1,1,X\n"),
            "1 nodes have no order, such as other",
        ),
        ("arrivals.parquet", b"PAR1 no more", "no Parquet file"),
    ],
)
def test_broken_files_are_told(tiny, name, content, words):
    (tiny / name).write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_streams(tiny, "tiny", [1])
    assert re.search(words, str(caught.value))
    assert str(tiny) in str(caught.value)


@pytest.mark.parametrize(
    ("workload", "seeds", "lost", "words"),
    [
        ("huge", [1], None, "no workload 'huge'.*there are: tiny"),
        ("tiny", [1, 7, 9], None, "tiny has no seed 7, 9"),
        ("tiny", [1], "nodes_gpu.csv.gz", "nodes_gpu.csv.gz: there is no such file"),
        ("tiny", [1], "node_order.parquet", "node_order.parquet: there is no such file"),
    ],
)
def test_what_is_not_there_is_named(tiny, workload, seeds, lost, words):
    if lost:
        (tiny / lost).unlink()
    with pytest.raises(NotFoundError) as caught:
        read_streams(tiny, workload, seeds)
    assert re.search(words, str(caught.value))


def test_a_missing_column_of_a_parquet_file(tiny):
    (tiny / "arrivals.parquet").write_bytes((tiny / "node_order.parquet").read_bytes())
    with pytest.raises(InputError, match="lacks the columns pos, pod_row"):
        read_streams(tiny, "tiny", [1])


def test_a_missing_folder(tmp_path):
    with pytest.raises(FenglinError, match="no such folder"):
        read_streams(tmp_path / "none", "tiny", [1])
