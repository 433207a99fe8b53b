# ruff: noqa: PTH102, PTH104, PTH106, PTH112, PTH113, PTH116, PTH208, TID252
"""One task as the runner sees it, its environment, and the making of its processes."""

from __future__ import annotations

import errno
import os

from . import proc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .container import Container
    from .isolation import Groups
    from .order import Order
    from .output import TaskLog

# Python ignores these two (SIGPIPE, SIGXFSZ); a payload must find them at their default.
IGNORED_SIGNALS = (13, 25)
NOT_FOUND = 127
ENDED_BY_TERM = 128 + proc.SIGTERM
NOT_EXECUTABLE = 126
SHELL = "/bin/sh"
SCRIPT = "script"
# The machine is short of something and will not always be: the task waits.
SHORTAGES = frozenset(
    {errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.EDQUOT}
)
STAGE = 0
RUN = 1
PUBLISH = 2


class Task:
    """A task between its start and its end.

    Attributes:
        index: Which task.
        nodes: Name of the node of each rank of its gang, ranks on other hosts included.
        held: (node, cards) of each slot that it holds here, one per rank of `ranks`.
        ranks: Ranks that run here.
        phase: STAGE, RUN or PUBLISH.
        processes: pid → pidfd of its live processes.
        notes: pid of a container's client → where files tell of the container.
        inside: pid of a container's client → process that leads those inside.
        pipe: Read end of its output.
        pipe_in: Write end, kept open so that the read end never reports end-of-file.
        log: Where output goes.
        folder: Its own folder.
        started_s: Monotonic time of the payload's start.
        started_ms: Unix time of the same.
        wall_ms: Runtime, set when the payload ended.
        exit_code: First bad exit status of its ranks, else 0.
        signal: Signal that ended that rank; 0 for none.
        reason: Why the runner ended it; empty when it did not.
        kill_at_s: Monotonic time of the final signal.
        killed: Whether what runs inside of containers was sent it; the next is for the clients.
        cpu_s: CPU time of its ended processes.
        peak_bytes: Largest memory seen. The kernel counts the runner's own pages (some 10 MB)
            into a child made by posix_spawn, so smaller peaks are told as that.
    """

    __slots__ = (
        "cpu_s",
        "exit_code",
        "folder",
        "held",
        "index",
        "inside",
        "kill_at_s",
        "killed",
        "log",
        "nodes",
        "notes",
        "peak_bytes",
        "phase",
        "pipe",
        "pipe_in",
        "processes",
        "ranks",
        "reason",
        "signal",
        "started_ms",
        "started_s",
        "wall_ms",
    )

    def __init__(
        self, index: int, held: list[tuple[str, str]], order: Order, folder: str, log: TaskLog
    ) -> None:
        """Make the output pipe.

        Raises:
            OSError: descriptors are used up.
        """
        self.index = index
        self.held = held
        if index in order.ranks:
            rank, self.nodes = order.ranks[index]
            self.ranks = [rank]
        else:
            self.nodes = [node for node, _ in held]
            self.ranks = list(range(len(held)))
        self.folder = folder
        self.log = log
        self.pipe, self.pipe_in = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self.pipe, False)
        self.phase = RUN
        self.processes: dict[int, int] = {}
        self.notes: dict[int, str] = {}
        self.inside: dict[int, int] = {}
        self.started_s = 0.0
        self.started_ms = 0
        self.wall_ms = 0
        self.exit_code = 0
        self.signal = 0
        self.reason = ""
        self.kill_at_s = 0.0
        self.killed = False
        self.cpu_s = 0.0
        self.peak_bytes = 0

    @property
    def ok(self) -> bool:
        """Return whether nothing has gone wrong so far."""
        return not self.exit_code and not self.reason

    def drain(self) -> bool:
        """Move what waits in the pipe to the log; return whether there may be more."""
        for _ in range(16):
            try:
                data = os.read(self.pipe, 2**16)
            except BlockingIOError:
                return False
            self.log.write(data)
        return True

    def signal_all(self, number: int) -> None:
        """Signal each of its process groups, inside of containers where these are."""
        for pid in self.processes:
            proc.signal_group(self.inside.get(pid, pid), number)


class Launcher:
    """Knows what all tasks of the attempt have in common when they are started."""

    def __init__(self, order: Order, directory: str) -> None:
        """Write the script, if there is one, and look the command up.

        Raises:
            OSError: the script cannot be written.
        """
        self._order = order
        self._user_env = dict(pair.split("=", 1) for pair in (*order.env, *order.secrets))
        self._directory = directory
        self._container: Container | None = None
        self._env = {
            **os.environ,
            "FENGLIN_JOB_ID": order.job,
            "FENGLIN_TASK_COUNT": order.task_count,
            "FENGLIN_SITE": order.site,
            "FENGLIN_FLAVOR": order.flavor,
            "FENGLIN_CPUS": order.cpus,
        }
        self.arguments = order.command
        if order.script:
            path = f"{directory}/{SCRIPT}"
            _write_script(path, order.script)
            self.arguments = [*interpreter(order.script), path]
        search = self._user_env.get("PATH", self._env.get("PATH", os.defpath))
        self.program = _find(self.arguments[0], search) if self.arguments else ""
        self._groups: Groups | None = None
        if order.isolation != "none":
            self._isolate(order)
        self._null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    def _isolate(self, order: Order) -> None:
        """Have tasks start in groups of their own, as far as the machine has them."""
        from . import isolation  # noqa: PLC0415 - most sites do without

        self._groups = isolation.groups(order)
        words = [] if self._groups is not None else isolation.scope(order)
        if words and self.program:
            self.arguments = [*words, self.program, *self.arguments[1:]]
            self.program = words[0]

    def enter(self, folder: str, container: Container | None) -> None:
        """Start tasks from now on with a prepared folder, in a container, or both."""
        if folder:
            self._env["FENGLIN_SETUP_DIR"] = folder
        if container is not None:
            # What the host says of itself, such as its PATH, means nothing inside.
            self._env = {k: v for k, v in self._env.items() if k.startswith("FENGLIN_")}
            self.program = container.program
            container.hidden = frozenset(pair.partition("=")[0] for pair in self._order.secrets)
        self._container = container

    def spawn(self, task: Task, at: int) -> int:
        """Start the rank at a place of `task.ranks` in the current folder; return its pid.

        Raises:
            OSError: it cannot be started; FileNotFoundError when there is no such command.
            ValueError: an argument or variable holds a NUL.
        """
        if not self.program:
            raise FileNotFoundError(errno.ENOENT, "command not found", "".join(self.arguments[:1]))
        if self._groups is None:
            return self._spawn(task, at)
        try:
            self._groups.enter(task)
            return self._spawn(task, at)
        finally:
            self._groups.leave()

    def kill(self, task: Task) -> None:
        """Send SIGKILL to all that a task has started."""
        task.signal_all(proc.SIGKILL)
        if self._groups is not None:
            self._groups.kill(task)

    def ended(self, task: Task) -> None:
        """Tidy up after the last process of a task."""
        if self._groups is not None:
            self._groups.close(task)

    def _spawn(self, task: Task, at: int) -> int:
        env, arguments, note = self.environment(task, at), self.arguments, ""
        if self._container is not None:
            note = f"{self._directory}/c{task.index}.{task.ranks[at]}"
            arguments, env = self._contained(task, env, note)
        actions = [
            (os.POSIX_SPAWN_DUP2, self._null, 0),
            (os.POSIX_SPAWN_DUP2, task.pipe_in, 1),
            (os.POSIX_SPAWN_DUP2, task.pipe_in, 2),
        ]
        try:
            pid = os.posix_spawn(
                self.program,
                arguments,
                env,
                file_actions=actions,
                setpgroup=0,
                setsigdef=IGNORED_SIGNALS,
                setsigmask=(),
            )
        except OSError as error:
            if error.errno != errno.ENOEXEC or note:
                raise
        else:
            if note:
                task.notes[pid] = note
            return pid
        # A file without a #! line that is executable is a shell script, as for execvp(3).
        return os.posix_spawn(
            SHELL,
            [SHELL, self.program, *self.arguments[1:]],
            env,
            file_actions=actions,
            setpgroup=0,
            setsigdef=IGNORED_SIGNALS,
            setsigmask=(),
        )

    def _contained(
        self, task: Task, env: dict[str, str], note: str
    ) -> tuple[list[str], dict[str, str]]:
        """Return argument vector and environment of the container's client."""
        order = self._order
        assert self._container is not None  # noqa: S101 - asked by the one caller
        mounts = [task.folder, *(f"{one}:ro" for one in task_mounts(order, self._env))]
        if order.script:
            mounts.append(f"{self._directory}/{SCRIPT}:ro")
        cwd = order.workdir or task.folder
        mounts += [order.workdir] if order.workdir else []
        cards = order.cards_variable if "FENGLIN_CARDS" in env else ""
        return self._container.command(self.arguments, env, cwd, mounts, note, cards)

    def environment(self, task: Task, at: int) -> dict[str, str]:
        """Return the environment of one rank; the user's own variables win."""
        order, rank, cards = self._order, task.ranks[at], task.held[at][1]
        env = self._env.copy()
        env["FENGLIN_TASK_INDEX"] = str(task.index)
        env["FENGLIN_ATTEMPT"] = order.tries.get(task.index, "1")
        env["FENGLIN_ARTIFACTS_DIR"] = f"{task.folder}/artifacts"
        env["FENGLIN_NODE"] = task.nodes[rank]
        env["FENGLIN_NODE_COUNT"] = str(len(task.nodes))
        if len(task.nodes) > 1:
            env["FENGLIN_NODES"] = ",".join(task.nodes)
        if order.addresses:
            places = [order.addresses.get(node, "") for node in task.nodes]
            env["FENGLIN_NODE_ADDRESSES"] = ",".join(places)
        if cards:
            env["FENGLIN_CARDS"] = cards
            if order.cards_variable:
                env[order.cards_variable] = cards
        env["FENGLIN_NODE_RANK"] = str(rank)
        env.update(self._user_env)
        env[proc.MARK_VARIABLE] = os.environ[proc.MARK_VARIABLE]
        return env


class Folders:
    """Working folders, used again while tasks leave them as they found them.

    Making and removing folders for each task would cost four changes of the filesystem's
    journal, which a hub that syncs its database on the same disk makes slow.
    """

    def __init__(self, directory: str) -> None:
        """Take the attempt's folder."""
        self._directory = directory
        self._free: list[str] = []
        self._made = 0
        self._mode = 0

    def take(self) -> str:
        """Return an empty folder with an empty `artifacts` in it.

        Raises:
            OSError: the disk is full.
        """
        if self._free:
            return self._free.pop()
        path = f"{self._directory}/w{self._made}"
        os.mkdir(path)
        try:
            os.mkdir(f"{path}/artifacts")
        except OSError:
            os.rmdir(path)
            raise
        self._made += 1
        self._mode = os.stat(path).st_mode
        return path

    def give(self, path: str) -> bool:
        """Take a folder back if the task left nothing in it; return whether that was so."""
        kept = f"{path}/artifacts"
        try:
            clean = (
                os.listdir(path) == ["artifacts"]
                and os.lstat(kept).st_mode == os.lstat(path).st_mode == self._mode
                and not os.listdir(kept)
            )
        except OSError:
            return False
        if clean:
            self._free.append(path)
        return clean

    def keep(self, path: str, index: int) -> None:
        """Leave what a failed task made for people to look at, as `tINDEX`."""
        try:
            os.rename(path, f"{self._directory}/t{index}")
        except OSError:
            return  # it stays under its old name, which no other task gets


class Slots:
    """Which nodes have a free slot."""

    def __init__(self, order: Order) -> None:
        """Take the shares of the order."""
        depth = max((slots for _, slots, _ in order.shares), default=0)
        # Interleaved, so that a gang finds distinct nodes at the end of the list.
        self._free = [
            (node, _cards(cards, i, slots))
            for i in range(depth)
            for node, slots, cards in order.shares
            if i < slots
        ]
        self._free += [("", "")] * (order.slots * order.nodes - len(self._free))
        self._free.reverse()
        self._nodes = order.nodes

    def take(self) -> list[tuple[str, str]]:
        """Return a (node, cards) per rank, of distinct nodes while there are."""
        if self._nodes == 1:
            return [self._free.pop()]
        chosen = list({slot[0]: slot for slot in reversed(self._free)}.values())[: self._nodes]
        for slot in chosen:
            self._free.remove(slot)
        while len(chosen) < self._nodes:
            chosen.append(self._free.pop())
        return chosen

    def give(self, held: list[tuple[str, str]]) -> None:
        """Free the slots again."""
        self._free.extend(held)


def task_mounts(order: Order, env: dict[str, str]) -> list[str]:
    """Return the folders that tasks only read: the prepared one, and inputs that are links."""
    folders = {source for _, source, _ in order.inputs if os.path.isdir(source)}
    if "FENGLIN_SETUP_DIR" in env:
        folders.add(env["FENGLIN_SETUP_DIR"])
    return sorted(folders)


def _cards(cards: list[str], at: int, slots: int) -> str:
    """Return the cards of the slot at that place, `1,2`; empty for none."""
    each = len(cards) // slots
    return ",".join(cards[at * each : (at + 1) * each])


def _write_script(path: str, text: str) -> None:
    """Write the script once for all tasks; a file left by an unclaimed start is replaced."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o700)
    try:
        data = text.encode("utf-8", "surrogateescape")
        while data:
            data = data[os.write(file, data) :]
    finally:
        os.close(file)


def interpreter(script: str) -> list[str]:
    """Return what the `#!` line names, as the kernel reads it, or the shell.

    Running the interpreter ourselves works on filesystems mounted noexec too.
    """
    if not script.startswith("#!"):
        return [SHELL]
    words = script[2:].partition("\n")[0].strip().split(None, 1)
    return words or [SHELL]


def _find(name: str, search: str) -> str:
    """Return the program to run: a path as it is, a bare name looked up; empty when not found."""
    if "/" in name:
        return name
    unusable = ""
    for folder in search.split(os.pathsep):
        path = f"{folder or '.'}/{name}"
        if os.path.isfile(path):
            if os.access(path, os.X_OK):
                return path
            unusable = unusable or path
    return unusable
