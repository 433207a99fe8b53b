# ruff: noqa: PTH108, PTH113, PTH119, PTH123, TID252
"""Tasks in container images: the command lines of podman and apptainer, and how they end.

A container shares the host's process and network names, so that a task is seen, signalled and
metered like any other, gangs talk to each other, and a dead runner's tasks are found by their mark.
What it has of its own is the file system. Nothing of a job but the image's name, the command and
the names of variables stands on a command line: values go by a file of the runner's user alone.
"""

from __future__ import annotations

import errno
import os

from . import proc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .task import Task

PODMAN = "podman"
APPTAINER = ("apptainer", "singularity")
RUNTIMES = (PODMAN, *APPTAINER)
AUTO = "auto"
LABEL = "fenglin.attempt"
# A line of podman's file of variables that is longer than this is refused by it.
LONGEST_LINE = 60_000
NEVER_RAN = 125
CLEAN_TIMEOUT_S = 60
# Options of ours that a site's own one of the same name replaces.
_NETWORK = ("--network", "--net")
_USER = ("--user", "--userns")
_DEVICES = ("--device", "--gpus")
# Options of podman itself: they say which store and runtime every call is about.
_GLOBAL = (
    "--cgroup-manager", "--conmon", "--events-backend", "--log-level", "--root", "--runroot",
    "--runtime", "--storage-driver", "--storage-opt", "--tmpdir",
)  # fmt: skip
_CARD_FLAGS = {
    "CUDA_VISIBLE_DEVICES": "--nv",
    "ROCR_VISIBLE_DEVICES": "--rocm",
    "HIP_VISIBLE_DEVICES": "--rocm",
}
_CUDA = "CUDA_VISIBLE_DEVICES"


class Container:
    """How one attempt's processes are put into an image.

    Attributes:
        kind: One of `RUNTIMES`.
        program: Path of its command.
        image: What the runtime calls the image; a path for apptainer.
    """

    def __init__(self, program: str, image: str, options: list[str], key: str) -> None:
        """Take the runtime, the image that is there, and the site's options."""
        self.kind = os.path.basename(program)
        self.program = program
        self.image = image
        self._options = options
        self._key = key
        # Variables that stand in no file of ours.
        self.hidden: frozenset[str] = frozenset()

    def command(
        self,
        words: list[str],
        variables: dict[str, str],
        cwd: str,
        mounts: list[str],
        note: str,
        cards: str,
    ) -> tuple[list[str], dict[str, str]]:
        """Return the argument vector and the environment of the runtime's own process.

        Args:
            words: What runs inside.
            variables: What it sees.
            cwd: Where it starts.
            mounts: `PATH` or `PATH:ro`, each the same inside as outside.
            note: Path of files that tell of the process, without a suffix.
            cards: Variable that confines it to its cards; empty for none.

        Raises:
            OSError: the file of variables cannot be written.
            ValueError: a path holds a colon, which neither runtime can mount.
        """
        for mount in mounts:
            if ":" in mount.removesuffix(":ro"):
                raise ValueError(f"{mount} holds a colon and cannot be mounted")
        own = {k: v for k, v in os.environ.items() if not k.startswith("FENGLIN_")}
        own[proc.MARK_VARIABLE] = variables[proc.MARK_VARIABLE]
        if self.kind == PODMAN:
            head = self._podman(variables, cwd, mounts, note, cards, own)
            return [self.program, *head, *words], own
        prefix = self.kind.upper() + "ENV_"
        own.update((prefix + name, value) for name, value in variables.items())
        return [self.program, *self._apptainer(cwd, mounts, cards), *words], own

    def _podman(
        self,
        variables: dict[str, str],
        cwd: str,
        mounts: list[str],
        note: str,
        cards: str,
        own: dict[str, str],
    ) -> Iterator[str]:
        yield from ("run", "--rm", "--pull=never", f"--label={LABEL}={self._key}")
        yield from ("--pid=host", "--ipc=host", "--security-opt=label=disable")
        yield f"--pidfile={note}.pid"
        if not self._has(_NETWORK):
            yield "--network=host"
        if not self._has(_USER):
            # Root inside is whoever runs podman: the files that a task makes are the runner's.
            yield "--user=0:0"
        if cards == _CUDA and not self._has(_DEVICES):
            yield "--device=nvidia.com/gpu=all"
        yield f"--env-file={note}.env"
        lines = []
        for name, value in variables.items():
            if name in self.hidden or "\n" in value or "\r" in value or len(value) > LONGEST_LINE:
                own[name] = value
                yield f"--env={name}"
            else:
                lines.append(f"{name}={value}\n")
        _write(f"{note}.env", "".join(lines))
        yield from (f"--volume={m.removesuffix(':ro')}:{m}" for m in mounts)
        yield from (f"--workdir={cwd}", "--entrypoint=", *self._options, "--", self.image)

    def _apptainer(self, cwd: str, mounts: list[str], cards: str) -> Iterator[str]:
        yield from ("exec", "--cleanenv", "--no-home", "--writable-tmpfs")
        if cards in _CARD_FLAGS and not self._has(("--nv", "--rocm")):
            yield _CARD_FLAGS[cards]
        yield from (f"--bind={m.removesuffix(':ro')}:{m}" for m in mounts)
        yield from (f"--pwd={cwd}", *self._options, self.image)

    def _has(self, names: tuple[str, ...]) -> bool:
        return any(option.partition("=")[0] in names for option in self._options)

    def look(self, task: Task) -> None:
        """Learn which processes run inside; apptainer's are our children already."""
        task.inside.clear()
        if self.kind == PODMAN and not task.killed:
            found = {pid: read_pid(note) for pid, note in task.notes.items()}
            task.inside.update((pid, inside) for pid, inside in found.items() if inside)

    def ended(self, note: str, code: int) -> str:
        """Return why nothing ran, empty when the exit code is the payload's own; tidy up.

        Args:
            note: As for `command`; empty when it is not known any more.
            code: Exit code of the runtime's own process.
        """
        ran = self.kind != PODMAN or not note or read_pid(note)
        forget(note)
        if ran:
            return ""
        if code == NEVER_RAN:
            return "image_failed"
        return "command_not_found" if code in (126, 127) else ""

    def clean(self) -> None:
        """Remove what is left of the attempt's containers; no failure of it matters here."""
        if self.kind != PODMAN:
            return
        import subprocess  # noqa: PLC0415 - only when something was killed

        options = global_options(self._options)

        def call(*words: str) -> list[str]:
            done = subprocess.run(
                [self.program, *words],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                timeout=CLEAN_TIMEOUT_S,
                check=False,
            )
            return done.stdout.decode("ascii", "replace").split()

        try:
            ours = call("ps", "--all", "--quiet", f"--filter=label={LABEL}={self._key}", *options)
            if ours:
                call("rm", "--force", "--time=0", *options, *ours)
        except (OSError, subprocess.SubprocessError):
            return


def find(wanted: str) -> str:
    """Return the path of the container runtime to use; empty when there is none.

    Args:
        wanted: One of `RUNTIMES`, or `auto` for the first of them that is there.
    """
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    for name in RUNTIMES if wanted == AUTO else (wanted,):
        for folder in folders:
            path = f"{folder}/{name}"
            if folder and os.path.isfile(path) and os.access(path, os.X_OK):
                return path
    return ""


def global_options(options: list[str]) -> list[str]:
    """Return those of a site's options that every call of podman needs."""
    return [option for option in options if option.partition("=")[0] in _GLOBAL]


def forget(note: str) -> None:
    """Remove the files that tell of a container."""
    for suffix in (".pid", ".env"):
        try:
            os.unlink(note + suffix)
        except OSError:
            continue


def read_pid(note: str) -> int:
    """Return the process that a container's file tells of; 0 while there is none."""
    try:
        with open(f"{note}.pid", encoding="utf-8") as file:
            return int(file.read())
    except (OSError, ValueError):
        return 0


def docker_name(image: str) -> str:
    """Return the full name of an image named as for docker, where short means Docker Hub."""
    if "://" in image or image.startswith("/"):
        return image
    first, slash, _ = image.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return image
    return f"docker.io/{image}" if slash else f"docker.io/library/{image}"


def _write(path: str, text: str) -> None:
    """Write a file for this user alone: variables may be secrets."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    file = os.open(path, flags, 0o600)
    try:
        data = text.encode("utf-8", "surrogateescape")
        while data:
            written = os.write(file, data)
            if not written:
                raise OSError(errno.ENOSPC, "nothing was written", path)
            data = data[written:]
    finally:
        os.close(file)
