"""Python calls through a real hub: what comes back, what is raised, what ends when."""

import socket
import sys
import threading
import time
from concurrent.futures import CancelledError, as_completed

import pytest

from fenglin.client import Settings
from fenglin.client.executor import Executor, RemoteTracebackError, TaskFailedError
from fenglin.client.requests import Filter
from fenglin.errors import InputProblems
from fenglin.testing import HubProcess, LocalSite, hub_file

OPTIONS = {
    "python": sys.executable,
    "resources": {"cpu": 0.1, "memory": "64MiB"},
    "modules": [sys.modules[__name__]],
}


@pytest.fixture
def pool(hub):
    """Return an executor on this module's hub."""
    settings = Settings(hub.url, hub.token)
    with Executor(settings, **OPTIONS) as made:
        yield made


def half(number):
    return number / 2


def fail_at_three(number):
    if number == 3:
        raise KeyError("three")
    return number


def nap(until):
    """Sleep until a file is there."""
    import time  # noqa: PLC0415 - this function travels alone
    from pathlib import Path  # noqa: PLC0415

    while not Path(until).exists():
        time.sleep(0.02)
    return "awake"


def test_a_call_returns(pool):
    factor = 3
    future = pool.submit(lambda number, *, add: factor * number + add, 14, add=1)
    assert future.result(30) == 43
    assert future.job_id.startswith("j")
    assert not future.running()


def test_a_map_is_one_array_with_its_results_in_order(pool, client):
    assert list(pool.map(half, range(7), chunksize=2)) == [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0]
    newest = client.jobs(Filter(), most=1).items[0]
    assert (newest.name, newest.task_count) == ("half", 4)
    assert client.wait(newest.id, 30).state == "succeeded"


def test_an_exception_comes_with_the_traceback_of_the_site(pool, client):
    results = pool.map(fail_at_three, [1, 2, 3])
    assert [next(results), next(results)] == [1, 2]
    with pytest.raises(KeyError, match="three") as caught:
        next(results)
    cause = caught.value.__cause__
    assert isinstance(cause, RemoteTracebackError)
    assert 'raise KeyError("three")' in str(cause)
    assert "fenglin-kit" not in str(cause)
    newest = client.jobs(Filter(), most=1).items[0]
    assert client.wait(newest.id, 30).tasks.failed == 1


def test_large_values_are_uploaded_once(pool, client):
    large = bytes(range(256)) * 1024
    lengths = [pool.submit(lambda a, b, n: (len(a) + n, a is b), large, large, n) for n in (1, 2)]
    assert [one.result(30) for one in lengths] == [(262_145, True), (262_146, True)]
    files = [client.job(one.job_id).spec["files"] for one in lengths]
    targets = [{file["target"]: file["sha256"] for file in found} for found in files]
    assert targets[0] == targets[1]
    assert len(targets[0]) == 2  # the kit and the bytes


def test_results_come_as_they_end(pool, tmp_path):
    slow = pool.submit(nap, str(tmp_path / "go"))
    quick = pool.submit(half, 2)
    assert next(as_completed([slow, quick], timeout=30)) is quick
    (tmp_path / "go").touch()
    assert slow.result(30) == "awake"


def test_a_running_call_is_cancelled_with_its_job(pool, client, tmp_path, eventually):
    future = pool.submit(nap, str(tmp_path / "never"))
    eventually(future.running)
    assert future.cancel()
    with pytest.raises(CancelledError):
        future.result(1)
    assert client.wait(future.job_id, 30).state == "cancelled"


def test_a_map_that_nobody_reads_on_is_ended(pool, client, tmp_path):
    (tmp_path / "0").touch()
    results = pool.map(nap, [str(tmp_path / str(n)) for n in range(3)])
    assert next(results) == "awake"
    newest = client.jobs(Filter(), most=1).items[0]
    results.close()
    assert client.wait(newest.id, 30).state == "cancelled"


def test_a_job_that_another_cancels_cancels_its_future(pool, client, tmp_path, eventually):
    future = pool.submit(nap, str(tmp_path / "never"))
    eventually(lambda: future.job_id)
    client.cancel(future.job_id)
    with pytest.raises(CancelledError):
        future.result(30)


def test_what_ends_without_a_word_is_told_by_the_hub(pool):
    quick = pool.with_options(timeout="1s", name="too slow")
    with pytest.raises(TaskFailedError) as caught:
        quick.submit(time.sleep, 60).result(30)
    assert caught.value.reason == "timeout"
    assert caught.value.job_id.startswith("j")


def test_a_module_that_the_site_lacks_is_named(pool):
    with pytest.raises(ModuleNotFoundError) as caught:
        pool.with_options(modules=[]).submit(half, 1).result(30)
    assert "modules=" in caught.value.__notes__[0]


def test_a_site_without_that_python_says_so(pool):
    with pytest.raises(TaskFailedError, match=r"there is no python9\.9 at the site"):
        pool.with_options(python="python9.9").submit(half, 1).result(30)


def test_bad_options_are_the_hubs_words_and_spoil_no_other_call(pool):
    bad = pool.with_options(resources={"cpu": "lots"}).submit(half, 1)
    good = pool.submit(half, 1)
    with pytest.raises(InputProblems) as caught:
        bad.result(30)
    assert "resources.cpu" in caught.value.problems[0].path
    assert good.result(30) == 0.5


def test_at_most_max_workers_calls_run_at_once(hub, client):
    settings = Settings(hub.url, hub.token)
    with Executor(settings, max_workers=2, **OPTIONS) as pool:
        done = [pool.submit(half, n) for n in range(5)]
        assert [one.result(60) for one in done] == [0.0, 0.5, 1.0, 1.5, 2.0]
        assert list(pool.map(half, range(3))) == [0.0, 0.5, 1.0]
        newest = client.jobs(Filter(), most=1).items[0]
        assert client.job(newest.id).spec["concurrency"] == 2


def test_after_shutdown_no_call_is_taken_and_all_have_ended(hub):
    pool = Executor(Settings(hub.url, hub.token), **OPTIONS)
    future = pool.submit(half, 4)
    pool.shutdown()
    assert future.result(0) == 2.0
    with pytest.raises(RuntimeError, match="after shutdown"):
        pool.submit(half, 4)
    assert "fenglin-executor" not in [thread.name for thread in threading.enumerate()]


def test_shutdown_may_cancel_what_has_not_begun(hub, tmp_path):
    settings = Settings(hub.url, hub.token)
    pool = Executor(settings, max_workers=1, **OPTIONS)
    first, second = (pool.submit(nap, str(tmp_path / "go")) for _ in range(2))
    while not first.running():
        time.sleep(0.02)
    pool.shutdown(wait=False, cancel_futures=True)
    (tmp_path / "go").touch()
    assert first.result(30) == "awake"
    assert second.cancelled()


def test_an_interrupted_program_ends_its_jobs(hub, client, tmp_path, eventually):
    settings = Settings(hub.url, hub.token)

    def program():
        with Executor(settings, **OPTIONS) as pool:
            futures.append(pool.submit(nap, str(tmp_path / "never")))
            eventually(lambda: futures[0].job_id)
            raise KeyboardInterrupt

    futures = []
    with pytest.raises(KeyboardInterrupt):
        program()
    assert client.wait(futures[0].job_id, 30).state == "cancelled"


def test_a_restarted_hub_is_waited_for(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    config = hub_file([LocalSite("here", cpu=1)]).replace("127.0.0.1:0", f"127.0.0.1:{port}")
    with HubProcess(tmp_path / "hub", config) as hub:
        hub.start()
        with Executor(Settings(hub.url, hub.token), **OPTIONS) as pool:
            slow = pool.submit(nap, str(tmp_path / "go"))
            while not slow.running():
                time.sleep(0.02)
            hub.kill()
            (tmp_path / "go").touch()
            hub.start()
            assert slow.result(50) == "awake"


def test_no_hub_is_said_at_once():
    with Executor(Settings("http://127.0.0.1:9", "t")) as pool:  # noqa: SIM117
        with pytest.raises(Exception, match="no hub answers"):
            pool.submit(half, 1).result(30)
