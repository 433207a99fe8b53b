import binascii

import pytest

from fenglin.drivers.ray.spool import Attempt, Spool, checked
from fenglin.errors import DriverError
from fenglin.model.reason import Reason
from fenglin.runner.records import Cursor, read_page, total

LOG = (
    b"2026-01-01 INFO job_manager.py -- Runtime env is setting up.\n"
    b"Running entrypoint for job h-a1-1: exec python3 place.py\n"
    b"\n~1 S 0 77 1000 .\n\n~2 O 0 0 aGVs .\nRay says something\n~3 O 0 3 bG8K .\n"
    b"\n~4 E 0 1000 250 0 - 90 4096 .\n\n~5 S 1 78 1300 .\n"
)
END = b"\n~6 E 1 1300 50 3 exit_code 1 1 .\n\n~7 D - 1400 .\n"


@pytest.fixture
def spool(tmp_path):
    return Spool(tmp_path / "site")


@pytest.fixture
def folder(spool):
    spool.begin("h-a1-1", "session_1")
    return spool.active / "h-a1-1"


def page(attempt):
    return read_page(attempt.page(0, 10**6), Cursor())


def piece(task, name, data, offset=0, mode=0o644):
    text = [binascii.b2a_base64(one, newline=False) for one in (name.encode(), data)]
    return b"F %d %d %s %d %s ." % (task, mode, text[0], offset, text[1])


def log(*lines, first=1):
    """Return lines as a place numbers them."""
    return b"".join(b"\n~%d %s\n" % (n, line) for n, line in enumerate(lines, first))


GOOD = b"E 0 1000 250 0 - 90 4096 ."


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_a_log_is_understood_in_pieces_of_any_size(folder, size):
    attempt = Attempt(folder, "")
    log = LOG + END
    for first in range(0, len(log), size):
        attempt.take(log[first : first + size])
    told = page(attempt)
    assert [(end.index, end.exit_code, end.reason) for end in told.ends] == [
        (0, 0, None),
        (1, 3, Reason.EXIT_CODE),
    ]
    assert (told.cursor.started, told.done, attempt.closed) == (2, True, True)
    assert (folder / "0.log").read_bytes() == b"hello\n"


def test_a_log_that_is_read_again_adds_nothing(folder):
    attempt = Attempt(folder, "")
    assert attempt.take(LOG)
    before = attempt.page(0, 10**6)
    again = Attempt(folder, "")
    assert not again.take(LOG)
    assert again.page(0, 10**6) == before
    assert again.take(END)
    assert again.page(0, 10**6).startswith(before)


def test_lines_that_were_missed_are_noticed(folder):
    """The last lines of a log are enough as long as none is missing before them."""
    attempt = Attempt(folder, "")
    attempt.take(LOG)
    attempt.rewind()
    attempt.take(LOG[LOG.index(b"~4") :] + END.partition(b"\n\n~7")[0] + b"\n")
    assert (attempt.told, attempt.gap, attempt.ended) == (6, False, {0, 1})
    late = Attempt(folder, "")
    late.take(END)
    assert (late.told, late.gap, late.closed) == (0, True, False)
    late.rewind()
    late.take(LOG + END)
    assert (late.gap, late.closed) == (False, True)


def test_what_the_disk_did_not_take_is_read_again(folder, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    attempt = Attempt(folder, "")
    with monkeypatch.context() as patch:
        patch.setattr("os.fdatasync", full)
        with pytest.raises(OSError, match="No space"):
            attempt.take(LOG)
    assert attempt.told == 0
    attempt.rewind()
    attempt.take(LOG + END)
    assert [end.index for end in page(attempt).ends] == [0, 1]


def test_two_hubs_that_read_at_once_write_each_event_once(folder):
    one, other = Attempt(folder, ""), Attempt(folder, "")
    one.take(LOG)
    other.take(LOG + END)
    one.take(END)
    assert [end.index for end in page(one).ends] == [0, 1]
    assert one.page(0, 10**6).count(b"D - ") == 1


def test_a_line_that_a_crash_tore_is_written_again(folder):
    Attempt(folder, "").take(LOG)
    path = folder / "journal"
    path.write_bytes(path.read_bytes()[:-5])
    attempt = Attempt(folder, "")
    attempt.take(LOG + END)
    assert (page(attempt).cursor.started, total(path.read_bytes()).tasks) == (2, 2)


@pytest.mark.parametrize(
    "line", [b"~1 E x 1 1 0 - 0 0 .", b"~1 S 1", b"~1 O 0 x aGVs .", b"~x E 0 1 1 0 - 0 0 ."]
)
def test_what_is_no_line_of_ours_is_passed_over(folder, line):
    attempt = Attempt(folder, "")
    assert not attempt.take(b"\n" + line + b"\n")
    assert page(attempt).ends == ()


def test_artifacts_appear_whole_and_only_after_success(folder, tmp_path):
    target = tmp_path / "artifacts"
    attempt = Attempt(folder, str(target))
    parts = (
        piece(0, "out/a.bin", b"ab", mode=0o755),
        piece(0, "out/a.bin", b"cd", 2),
        piece(0, "empty", b""),
    )
    attempt.take(log(b"S 0 77 1000 .", *parts))
    assert not (target / "0").exists()
    attempt.take(log(GOOD, b"S 1 78 1300 .", first=5))
    files = {str(p.relative_to(target)): p.read_bytes() for p in target.rglob("*") if p.is_file()}
    assert files == {"0/out/a.bin": b"abcd", "0/empty": b""}
    attempt.take(log(piece(1, "half", b"x"), b"E 1 1300 50 3 exit_code 1 1 .", first=7))
    assert sorted(path.name for path in target.iterdir()) == ["0"]


@pytest.mark.parametrize("name", ["../out", "/out", "a/../../out", "", "a\0b"])
def test_artifacts_never_leave_their_folder(folder, tmp_path, name):
    target = tmp_path / "artifacts" / "here"
    attempt = Attempt(folder, str(target))
    attempt.take(log(piece(0, name, b"x"), GOOD))
    assert attempt.ended == {0}
    assert not target.exists() or not list(target.rglob("*"))
    assert not (tmp_path / "artifacts" / "out").exists()


def test_what_a_lost_job_had_started_ends_with_it(folder):
    attempt = Attempt(folder, "")
    attempt.take(LOG)
    attempt.bury(Reason.RUNNER_LOST)
    told = page(attempt)
    assert [(end.index, end.reason) for end in told.ends] == [(0, None), (1, Reason.RUNNER_LOST)]
    assert (told.done, told.reason) == (True, Reason.RUNNER_LOST)
    before = attempt.size
    attempt.bury(Reason.CANCELLED)
    assert attempt.size == before
    assert not Attempt(folder, "").take(LOG + END)


def test_output_and_journal_stay_after_forget(spool, folder):
    Attempt(folder, "").take(LOG + END)
    spool.stop("h-a1-1", "session_1")
    spool.keep("h-a1-1")
    spool.keep("h-a1-1")
    kept = spool.folder("h-a1-1")
    assert {path.name for path in kept.iterdir()} == {"journal", "0.log"}
    assert spool.begun("h-a1-1") == ""


@pytest.mark.parametrize("key", ["", "..", "a/b", "a b", "x" * 201, "-x", "a\n"])
def test_a_key_is_no_path(key):
    with pytest.raises(DriverError, match="not an attempt key"):
        checked(key, "site.rays")
