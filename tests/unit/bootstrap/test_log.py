"""The log: one line per event, whatever stands in it."""

import io
import json

import pytest
import structlog

from fenglin.daemon import log_to

HOSTILE = {
    "a line": 'x\n{"event": "forged", "level": "info"}\n',
    "a return": 'x\r{"event": "forged"}',
    "a clear": "x\x1b[2J\x1b]0;forged\x07",
    "one byte": "x\x9b2J",
    "a separator": "x\u2028forged\x85forged",
    "right to left": "x\u202egnp.exe",
}


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def log():
    """Return a function that gives what one event with these values looks like in a stream."""
    before = structlog.get_config()

    def written(stream, **values):
        log_to(stream, "info", "[hub] log_level")
        structlog.get_logger().info("said", **values)
        return stream.getvalue()

    yield written
    structlog.configure(**before)


@pytest.mark.parametrize("case", HOSTILE)
def test_a_file_gets_one_line_of_json(log, case):
    """Attack 118."""
    text = log(io.StringIO(), why=HOSTILE[case])

    (line,) = text.splitlines()
    assert json.loads(line)["event"] == "said"
    assert json.loads(line)["why"] == HOSTILE[case]
    assert text[:-1].isprintable()


@pytest.mark.parametrize("case", HOSTILE)
def test_a_terminal_is_not_commanded(log, case):
    """Attacks 64, 65 and 118."""
    bare = log(Terminal(), why="x")
    text = log(Terminal(), why=HOSTILE[case])

    assert bare.count("\x1b") == text.count("\x1b")
    assert text.count("\n") == 1
    assert not set(text) & set("\r\x07\x9b\x85\u2028\u202e")


def test_a_terminal_shows_tracebacks_as_they_are(log):
    with pytest.raises(LookupError) as caught:
        raise LookupError("\x1b[2J here")
    text = log(Terminal(), exc_info=caught.value)

    assert "Traceback (most recent call last):\n" in text
    assert "LookupError: \\x1b[2J here\n" in text
