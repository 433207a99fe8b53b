"""Every command that a page tells the reader to type is typed here, in order, in a fresh folder.

What is compared is the exit code: 0, or what a trailing `# exits N` says. A page names what
cannot be run in a comment of its own, each with a reason. A hub that a page starts listens on a
free port instead of the usual one; nothing else differs from what the reader does.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from fenglin.testing import processes

ROOT = Path(__file__).parents[2]
LIMIT_S = 120
FAILED = 99
OURS = ("FENGLIN_HUB", "FENGLIN_TOKEN", "FENGLIN_TOKEN_FILE", "FENGLIN_CONFIG", "FENGLIN_CRASH_AT")
PRELUDE = """
fenglin() {
    if [ "$1 $2" = "hub start" ]; then exec fenglin "$@" --listen 127.0.0.1:0; fi
    command fenglin "$@"
}
wait_hub() {
    for _ in $(seq 600); do
        address=$(find . -name hub.address -size +0 | head -1)
        [ -n "$address" ] && export FENGLIN_HUB=$(cat "$address") && return
        sleep 0.05
    done
    echo "the hub did not start"; exit 99
}
command -v curl >/dev/null || curl() { python -c "$CURL" "$@"; }
check() {
    if [ "$1" -ne "$2" ]; then echo "exit code $1 where $2 belongs: $3"; exit 99; fi
}
"""


class Command(NamedTuple):
    """What the pages' own commands have."""

    line: str
    exits: int


# For machines without curl: GET with headers, failing as `curl -f` does.
CURL = """
import sys, urllib.request
words = sys.argv[1:]
request = urllib.request.Request(words[-1])
for flag, value in zip(words, words[1:]):
    if flag == "-H":
        request.add_header(*value.split(": ", 1))
sys.stdout.write(urllib.request.urlopen(request).read().decode())
"""


def test_commands_do_what_the_page_says(told_page, tmp_path):
    for name, text in told_page.files.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "examples").symlink_to(ROOT / "examples")

    status, output = _run(_script(told_page.runnable), tmp_path)

    log = tmp_path / "hub.log"
    tail = log.read_text(errors="replace")[-2_000:] if log.is_file() else ""
    assert status == 0, f"{output[-3_000:]}\n--- hub.log\n{tail}"


@pytest.mark.parametrize(
    ("line", "exits", "good"),
    [
        ("true", 0, True),
        ("false", 0, False),
        ("false", 1, True),
        ("true", 2, False),
        ("x=$(fenglin jobs)", 0, False),
        ("test -e saved.yaml", 0, False),
    ],
)
def test_the_runner_sees_a_wrong_exit_code(line, exits, good, tmp_path):
    status, _ = _run(_script([Command(line, exits), Command("true", 0)]), tmp_path)
    assert (status == 0) is good


def test_reasons_for_not_running_are_used(page):
    lines = [command.line for command in page.commands]
    shown = [*lines, *(line for _, body in page.blocks for line in body.splitlines())]
    for beginning, reason in page.skips.items():
        assert reason, f"{page.name}: no reason for not running {beginning!r}"
        assert any(line.startswith(beginning) for line in shown), (
            f"{page.name}: {beginning!r} is listed as not run and stands nowhere else"
        )


def test_named_files_are_used(page):
    for name in page.files:
        uses = page.text.count(name) - 1
        assert uses > 0, f"{page.name} lets the reader save {name} and never speaks of it"


def _script(commands):
    """Return one bash script: the commands in one shell, each exit code checked."""
    lines = [PRELUDE]
    for command in commands:
        starts_hub = "fenglin hub start" in command.line
        if starts_hub:
            assert command.line.endswith("&"), f"this would never return: {command.line}"
            lines.append("find . -name hub.address -delete")
        lines.append(command.line)
        # `$!` must stay that of the reader's own last background command.
        quoted = command.line.replace("'", "'\\''")
        lines.append(f"check $? {command.exits} '{quoted}'")
        if starts_hub:
            lines.append("wait_hub")
    return "\n".join(lines) + "\n"


def _run(script, folder):
    """Run a script in the folder; end everything that it leaves behind."""
    env = {name: value for name, value in os.environ.items() if name not in OURS}
    env["PATH"] = f"{Path(sys.executable).parent}:{env['PATH']}"
    env["HOME"] = str(folder)
    env["CURL"] = CURL
    bash = shutil.which("bash")
    assert bash, "the pages are written for bash"
    # Not a pipe: a hub in the background would hold it open.
    with (folder / "output").open("w+") as output:
        with subprocess.Popen(
            [bash, "-c", script],
            cwd=folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        ) as shell:
            try:
                status = shell.wait(LIMIT_S)
            except subprocess.TimeoutExpired:
                status = FAILED
                output.write(f"not done after {LIMIT_S} s\n")
            finally:
                _end_group(shell.pid)
                processes.kill(folder)
        output.seek(0)
        return status, output.read()


def _end_group(leader):
    """End what the shell has left running, which has its process group."""
    try:
        os.killpg(leader, signal.SIGKILL)
    except ProcessLookupError:
        return
