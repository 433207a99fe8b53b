"""Calls as bytes and back: what travels, what a task reads, what its last words mean."""

import pickle
import subprocess
import sys
import zipfile
from base64 import b64encode
from io import BytesIO

import numpy as np
import pytest

from fenglin.client.executor import TaskFailedError, packing, worker
from fenglin.client.executor.executor import Executor, Options, _script
from fenglin.client.executor.outcome import TaskFuture, failure
from fenglin.errors import InputError


@pytest.fixture
def task(tmp_path):
    """Run a parcel's task as a site does; return its result, or its output when it fails."""

    def run(parcel, index=0, version=packing.VERSION):
        for name, content in parcel.files.items():
            (tmp_path / name).write_bytes(content)
        payload = "-" if parcel.inline else packing.PAYLOAD
        items = packing.ITEMS if packing.ITEMS in parcel.files else ""
        done = subprocess.run(
            [sys.executable, packing.KIT, version, payload, items],
            input=b64encode(parcel.inline),
            cwd=tmp_path,
            env={"FENGLIN_TASK_INDEX": str(index)},
            capture_output=True,
            check=False,
        )
        if done.returncode:
            return done.stderr
        return pickle.loads((tmp_path / worker.RESULT).read_bytes())  # noqa: S301 - ours

    return run


def test_a_small_call_travels_inside_its_job(task):
    add = 5
    parcel = packing.pack_call(lambda x, *, y: x + y + add, (1,), {"y": 2}, ())
    assert set(parcel.files) == {packing.KIT}
    assert task(parcel) == 8


def test_large_values_are_files_named_by_content_and_shared(task):
    field = np.arange(20_000.0)
    text = "山" * 70_000
    parcel = packing.pack_call(
        lambda a, b, c: (a is b, float(a.sum()), len(c)), (field, field, text), {}, ()
    )
    assert len(parcel.files) == 3
    assert len(parcel.inline) < 2_000
    assert task(parcel) == (True, float(field.sum()), 70_000)
    again = packing.pack_call(len, (field.copy(),), {}, ())
    assert set(again.files) <= set(parcel.files)


def test_equal_values_that_are_two_stay_two(task):
    def write(a, b):
        a[0] = 1
        return b[0]

    one, other = bytearray(70_000), bytearray(70_000)
    assert task(packing.pack_call(write, (one, other), {}, ())) == 0


def test_a_call_too_large_for_its_job_is_a_file(task):
    numbers = list(range(30_000))
    parcel = packing.pack_call(sum, (numbers,), {}, ())
    assert packing.PAYLOAD in parcel.files
    assert task(parcel) == sum(numbers)


def test_each_task_of_a_map_reads_its_own_chunk(task):
    chunks = packing.chunked(zip(range(5), range(10, 15), strict=True), 2)
    parcel = packing.pack_map(lambda a, b: (a, b), chunks, ())
    assert [task(parcel, index) for index in range(3)] == [
        [(0, 10), (1, 11)],
        [(2, 12), (3, 13)],
        [(4, 14)],
    ]


def test_the_kit_is_the_same_each_time_and_holds_no_path_of_this_machine():
    first = packing.kit()
    packing.kit.cache_clear()
    assert packing.kit() == first
    with zipfile.ZipFile(BytesIO(first)) as archive:
        assert "__main__.py" in archive.namelist()
        assert not any(sys.prefix.encode() in archive.read(name) for name in archive.namelist())


def test_another_python_is_told(task):
    error = failure(task(packing.pack_call(len, ("",), {}, ()), version="3.4"), "j7", 2, "", "")
    assert isinstance(error, TaskFailedError)
    assert f"the site has Python {packing.VERSION}, this program is Python 3.4" in str(error)
    assert (error.job_id, error.task) == ("j7", 2)


def test_an_exception_that_cannot_travel_is_told_in_words(task):
    def fail():
        class OddError(Exception):
            def __reduce__(self):
                raise TypeError("no")

        raise OddError("lost")

    error = failure(task(packing.pack_call(fail, (), {}, ())), "j7", 0, "exit_code", "")
    assert isinstance(error, TaskFailedError)
    assert "OddError: lost" in error.what
    assert 'raise OddError("lost")' in str(error.__cause__)


def test_the_last_word_counts_and_what_looks_like_one_does_not():
    noise = b'\nfenglin-failure: {"kind": "exception"\nfenglin-failure: [1]\nfenglin-failure: {}\n'
    error = failure(b"x" * 5_000 + b"\nkilled\n", "j7", 1, "memory_exceeded", "it took too much")
    assert "it took too much" in str(error)
    assert "killed" in str(error)
    assert error.reason == "memory_exceeded"
    assert isinstance(failure(noise, "j7", 1, "", ""), TaskFailedError)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)  # noqa: S301 - ours


def test_a_site_without_python_is_told(tmp_path):
    script = _script("no such 'python'", packing.pack_call(len, ("",), {}, ()))
    done = subprocess.run(["/bin/sh", "-c", script], capture_output=True, cwd=tmp_path, check=False)
    assert done.returncode == 127
    error = failure(done.stderr, "j7", 0, "exit_code", "")
    assert "there is no no such 'python' at the site" in str(error)


def test_futures_are_cancelled_once():
    dropped = []
    future = TaskFuture(0, lambda: dropped.append(1))
    assert future.cancel()
    assert future.cancelled()
    assert future.cancel()
    done = TaskFuture(0, lambda: dropped.append(2))
    done.set_result(1)
    assert not done.cancel()
    assert 2 not in dropped


def test_options_are_fields_of_the_job_file():
    made = Options().changed({"sites": ("a", "b"), "python": "python3"})
    other = made.changed({"priority": 5, "name": "x"})
    assert (other.python, other.name) == ("python3", "x")
    assert other.job == {"sites": ["a", "b"], "priority": 5}
    with pytest.raises(InputError, match="'script'"):
        made.changed({"script": "rm -rf /"})


@pytest.mark.parametrize("workers", [0, -1])
def test_bad_limits_are_refused(workers):
    with pytest.raises(InputError):
        Executor(max_workers=workers)
