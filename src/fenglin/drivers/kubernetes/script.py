"""What runs in a task's container: two small shell files, with every value quoted as data.

Kubernetes tells no signal from an exit status, knows neither a grace within a time limit nor our
environment, and expands `$(NAME)` in what it is given. So a pod's own command is the same for
all: `/bin/sh /run/fenglin/job/run INDEX`. An image needs a POSIX shell, `mkdir`, `cat` and
`sleep`, as even the smallest have.

`run` is the container's first process. It hears SIGTERM and passes it on, keeps the time limit,
and writes one line to the termination log: `E EXIT REASON CENTISECONDS TOLD`. `start` stands
between: it takes the job's variables, which so reach no shell of ours, and becomes the program.
A shell in the middle remarks on its error output when a signal ended the program: only by that
remark are `exit 137` and SIGKILL told apart.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fenglin.drivers.kubernetes.names import END, ROOM
from fenglin.errors import DriverError
from fenglin.quantities.sizes import format_milli

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fenglin.ports.driver import StartOrder

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_RUN = """\
# Runs one task of a Fenglin attempt, made by the hub.
room={room}
state=$room/state
say() {{ printf '%s\\n' "$*" >{end}; }}
clock() {{ read -r now _ </proc/uptime; now=${{now%.*}}${{now#*.}}; }}
trap ': >$state/told
    [ -s $state/pid ] && read -r pid <$state/pid && kill -TERM $pid 2>/dev/null' TERM
if [ -e $room/wish/stop ]; then say 'V 0 - 0 1'; exit {void}; fi
index=$1
if [ -z "$index" ]; then
    place=$JOB_COMPLETION_INDEX
    set -- {ranges}
    while [ $# -gt 0 ]; do
        size=$(($2 - $1 + 1))
        if [ $place -lt $size ]; then index=$(($1 + place)); break; fi
        place=$((place - size)); shift 2
    done
fi
if [ -s $room/wish/unwanted ]; then
    set -- $(cat $room/wish/unwanted)
    while [ $# -gt 1 ]; do
        if [ $index -ge $1 ] && [ $index -le $2 ]; then say 'V 0 - 0 1'; exit {void}; fi
        shift 2
    done
fi
case $index in {tries} *) try=1;; esac
own=$room/scratch/{key}-$index
fail() {{ say "X 1 $1 0 0"; exit {failed}; }}
{{ mkdir -p "$own/artifacts" && cd "$own"; }} || fail start_failed
{inputs}
{workdir}
if ! /bin/sh $room/job/start look $index $try "$own"; then
    say 'E 127 command_not_found 0 0'; exit {absent}
fi
exec 4>&2
clock; began=$now
(
    {{
        (exec 2>&4 4>&-; exec /bin/sh $room/job/start run $index $try "$own")
        echo $? >$state/code
    }} 2>$state/died
) </dev/null & keeper=$!
{timeout}
while :; do wait $keeper; kill -0 $keeper 2>/dev/null || break; done
clock
read -r code <$state/code
reason=exit_code
if [ $code = 0 ]; then reason=-
elif [ -e $state/timed ]; then reason=timeout
elif [ $code -gt 128 ]; then
    case $code in 130 | 141 | 143) reason=signal;; *) [ -s $state/died ] && reason=signal;; esac
fi
told=0; [ -e $state/told ] && told=1
say "E $code $reason $((now - began)) $told"
exit {status}
"""
_TIMEOUT = """\
(
    exec 4>&-
    sleep {limit}; : >$state/timed; read -r pid <$state/pid; kill -TERM $pid
    sleep {grace}; kill -KILL $pid
) </dev/null >/dev/null 2>&1 &"""
_START = """\
# $1: look whether the program is there, or run it. $2: index. $3: try. $4: the task's own folder.
if [ "$1" = run ]; then
    echo $$ >{room}/state/pid
    [ -e {room}/state/told ] && kill -TERM $$
fi
{variables}
command export FENGLIN_TASK_INDEX="$2" FENGLIN_ATTEMPT="$3" FENGLIN_ARTIFACTS_DIR="$4/artifacts"
_fenglin_what=$1
set -- {command}
[ $_fenglin_what = run ] && exec "$@"
case $1 in
'') exit 1;;
*/*) [ -e "$1" ]; exit;;
esac
IFS=:
for _fenglin_folder in $PATH; do [ -x "${{_fenglin_folder:-.}}/$1" ] && exit 0; done
exit 1
"""


def run_file(order: StartOrder, inputs: Sequence[str], *, truthful: bool) -> str:
    """Return the text of `run`.

    Args:
        order: What to run.
        inputs: Lines that bring the inputs.
        truthful: Whether the container's exit status is the task's; else it is 0, for a Job
            that would end the others with the first that fails.
    """
    status = "$code" if truthful else "0"
    timeout = ""
    if order.timeout_ms:
        limit, grace = _seconds(order.timeout_ms), _seconds(order.grace_ms)
        timeout = _TIMEOUT.format(limit=limit, grace=grace)
    workdir = f"cd -- {quoted(order.workdir)} || fail start_failed" if order.workdir else ""
    return _RUN.format(
        room=ROOM,
        end=END,
        ranges=" ".join(f"{first} {last}" for first, last in _ranges(order.tasks)),
        tries=" ".join(f"{index}) try={number};;" for index, number in order.tries),
        key=order.key,
        inputs="\n".join(inputs),
        workdir=workdir,
        timeout=timeout,
        status=status,
        void=0,
        failed=1 if truthful else 0,
        absent=127 if truthful else 0,
    )


def start_file(order: StartOrder, where: str) -> str:
    """Return the text of `start`.

    Raises:
        DriverError: no system can run that.
    """
    command = order.command
    if order.script:
        file = f"{ROOM}/job/script"
        command = (file,) if order.script.startswith("#!") else ("/bin/sh", file)
    # The whole text is kept in a Secret, and the shell's own `export` makes no process.
    given = (*order.env, *((name, secret.reveal()) for name, secret in order.secrets))
    for text in (*command, *(value for _, value in given), order.script):
        if "\0" in text:
            raise DriverError("no text with a NUL byte can be run", where=where)
    for name, _ in given:
        if not _VARIABLE.fullmatch(name):
            raise DriverError(
                f"{name[:80]!r} is no name of a variable",
                where=where,
                hint="letters, digits and _, not a digit first",
            )
    ours = (
        ("FENGLIN_JOB_ID", order.job),
        ("FENGLIN_TASK_COUNT", str(order.task_count)),
        ("FENGLIN_SITE", order.site),
        ("FENGLIN_FLAVOR", order.flavor),
        ("FENGLIN_CPUS", format_milli(order.resources.cpu_milli)),
        ("FENGLIN_NODE_COUNT", "1"),
        ("FENGLIN_NODE_RANK", "0"),
    )
    # A variable that the shell itself owns, such as bash's UID, stays as it is.
    variables = "\n".join(
        f"command export {name}={quoted(value)} 2>/dev/null" for name, value in (*given, *ours)
    )
    return _START.format(
        room=ROOM, variables=variables, command=" ".join(quoted(word) for word in command)
    )


def quoted(text: str) -> str:
    """Return a text as one word of the shell, every byte as it is."""
    return "'" + text.replace("'", "'\\''") + "'"


def tasks_of(text: str) -> Iterator[int]:
    """Yield the task indices of `0-4,7` in rising order."""
    for first, last in _ranges(text):
        yield from range(first, last + 1)


def _ranges(text: str) -> Iterator[tuple[int, int]]:
    for part in text.split(",") if text else ():
        first, _, last = part.partition("-")
        yield int(first), int(last or first)


def _seconds(duration_ms: int) -> str:
    """Return seconds for `sleep`: whole where they are, since not every one knows a fraction."""
    return f"{duration_ms / 1_000:g}" if duration_ms % 1_000 else str(duration_ms // 1_000)
