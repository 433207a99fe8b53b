# ruff: noqa: PTH102, PTH103, PTH104, PTH105, PTH110, PTH112, PTH113, PTH116, PTH119, PTH123, PTH208, TID252
"""What stands ready before the first task: the image, and the environment that `setup` makes.

Runs in a forked child of the runner. An environment is kept per host under the digest of all
that it is made of: the script, the image, and those input files and variables that the script
names. It is made once, under a lock, by whoever comes first; others wait. Its folder:

    ENVS/DIGEST.lock      held shared by runners that use it, alone by one that makes or drops it
    ENVS/DIGEST/dir/      what the script made, `FENGLIN_SETUP_DIR`; its path never changes
    ENVS/DIGEST/ready     stands by a rename once the script has ended well; touched at each use

A folder without `ready` was left by a crash, and is made anew.
"""

from __future__ import annotations

import fcntl
import os
import re
import select
import time

from . import container, proc
from .output import TaskLog
from .task import interpreter
from .workspace import WorkspaceError, bring, remove_tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .order import Order

OUTPUT = "prepare.log"
RESULT = "prepared"
OUTPUT_BYTES = 2**20
STEP_TIMEOUT_S = 3_600.0
UNUSED_S = 14 * 86_400
MOST_KEPT = 32
NO_IMAGE = 21
NO_SETUP = 22
REASONS = {NO_IMAGE: "image_failed", NO_SETUP: "setup_failed"}
SETUP_VARIABLE = "FENGLIN_SETUP_DIR"
_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)


class PrepareError(Exception):
    """Something cannot be prepared.

    Attributes:
        code: NO_IMAGE or NO_SETUP.
    """

    def __init__(self, code: int, what: str) -> None:
        """Take what people are told in the tasks' logs."""
        super().__init__(what)
        self.code = code


class Place:
    """What tasks stand in.

    Attributes:
        program: Path of the container runtime; empty for none.
        image: What the runtime calls the image.
        folder: Prepared environment; empty for none.
    """

    __slots__ = ("folder", "image", "program")

    def __init__(self, program: str = "", image: str = "", folder: str = "") -> None:
        """Take the parts."""
        self.program = program
        self.image = image
        self.folder = folder


class Preparation:
    """The making of one attempt's place."""

    def __init__(self, order: Order, directory: str) -> None:
        """Open the lock, which the runner goes on holding when the child has ended.

        Raises:
            OSError: the folder of environments cannot be used.
        """
        self._order = order
        self._directory = directory
        self._envs = order.envs_dir or f"{directory}/envs"
        self._digest = ""
        self._lock = -1
        os.makedirs(self._envs, 0o700, exist_ok=True)
        if order.setup:
            self._digest = digest_of(order)
            self._lock = _open_lock(f"{self._envs}/{self._digest}.lock")

    def work(self) -> int:
        """Do it (in the child); return an exit status, 0 when the place is told in RESULT."""
        log = TaskLog(f"{self._directory}/{OUTPUT}", OUTPUT_BYTES)
        try:
            place = self._image(log) if self._order.image else Place()
            if self._order.setup:
                place.folder = self._environment(place, log)
        except PrepareError as error:
            log.note(str(error))
            return error.code
        except (OSError, WorkspaceError) as error:
            log.note(f"cannot prepare: {error}")
            return NO_SETUP if self._order.setup else NO_IMAGE
        finally:
            log.close()
        draft = f"{self._directory}/.{RESULT}"
        with open(draft, "w", encoding="utf-8") as file:
            file.write(f"{place.program}\n{place.image}\n{place.folder}\n")
        os.replace(draft, f"{self._directory}/{RESULT}")
        return 0

    def place(self) -> Place:
        """Return what the child has found (in the runner).

        Raises:
            OSError: it has not told.
        """
        with open(f"{self._directory}/{RESULT}", encoding="utf-8") as file:
            return Place(*file.read().split("\n")[:3])

    # --- the image --------------------------------------------------------------------------

    def _image(self, log: TaskLog) -> Place:
        order = self._order
        program = container.find(order.containers)
        if not program:
            wanted = "podman nor apptainer" if order.containers == container.AUTO else ""
            what = f"neither {wanted} is" if wanted else f"{order.containers} is not"
            raise PrepareError(NO_IMAGE, f"{what} installed on this host")
        if os.path.basename(program) == container.PODMAN:
            return Place(program, self._podman(program, log))
        return Place(program, self._apptainer(program, log))

    def _podman(self, program: str, log: TaskLog) -> str:
        """Have the image in podman's store; return its name there."""
        image = self._order.image
        if image.startswith("/"):
            raise PrepareError(NO_IMAGE, f"podman runs no image files: {image}")
        options = container.global_options(self._order.container_options)
        full = container.docker_name(image)
        for name in dict.fromkeys((image, full)):
            if not _run([program, "image", "exists", *options, "--", name], {}, "/", None):
                return name
        # Two pulls of one image at once would fetch it twice.
        lock = _open_lock(f"{self._envs}/pull.lock")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if _run([program, "pull", "--quiet", *options, "--", full], {}, "/", log):
                raise PrepareError(NO_IMAGE, f"the image {image} cannot be pulled")
        finally:
            os.close(lock)
        return full

    def _apptainer(self, program: str, log: TaskLog) -> str:
        """Have the image as a file; return its path."""
        image = self._order.image
        if image.startswith("/"):
            if not os.path.exists(image):
                raise PrepareError(NO_IMAGE, f"there is no image file {image} on this host")
            return image
        path = f"{self._envs}/{_sha256(image.encode())}.sif"
        lock = _open_lock(f"{path}.lock")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not os.path.exists(path):
                source = image if "://" in image else f"docker://{container.docker_name(image)}"
                draft = f"{path}.{os.getpid()}"
                if _run([program, "pull", "--force", draft, source], {}, "/", log):
                    raise PrepareError(NO_IMAGE, f"the image {image} cannot be pulled")
                os.rename(draft, path)
        finally:
            os.close(lock)
        return path

    # --- the environment --------------------------------------------------------------------

    def _environment(self, place: Place, log: TaskLog) -> str:
        """Have the environment; the lock is held shared when it is."""
        folder = f"{self._envs}/{self._digest}"
        fcntl.flock(self._lock, fcntl.LOCK_SH)
        if not os.path.exists(f"{folder}/ready"):
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            if not os.path.exists(f"{folder}/ready"):
                remove_tree(folder)
                os.makedirs(f"{folder}/dir", 0o700)
                self._make(place, folder, log)
            fcntl.flock(self._lock, fcntl.LOCK_SH)
        os.utime(f"{folder}/ready")
        prune(self._envs, time.time())
        return f"{folder}/dir"

    def _make(self, place: Place, folder: str, log: TaskLog) -> None:
        """Run the script in a folder of its own that holds the inputs it names."""
        order = self._order
        scratch, script = f"{self._directory}/setup", f"{self._directory}/setup.script"
        os.mkdir(scratch)
        bring(scratch, named_inputs(order))
        text = order.setup.encode("utf-8", "surrogateescape")
        file = os.open(script, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o700)
        try:
            os.write(file, text)
        finally:
            os.close(file)
        words = [*interpreter(order.setup), script]
        variables = {**dict(named_variables(order)), SETUP_VARIABLE: f"{folder}/dir"}
        variables[proc.MARK_VARIABLE] = os.environ[proc.MARK_VARIABLE]
        env = {**os.environ, **variables}
        if place.program:
            inside = container.Container(
                place.program, place.image, order.container_options, order.key
            )
            links = [source for _, source, _ in named_inputs(order) if os.path.isdir(source)]
            mounts = [scratch, f"{folder}/dir", f"{script}:ro", *(f"{one}:ro" for one in links)]
            note = f"{self._directory}/csetup"
            words, env = inside.command(words, variables, scratch, mounts, note, "")
        code = _run(words, env, scratch, log)
        if place.program:
            container.forget(f"{self._directory}/csetup")
        remove_tree(scratch)
        if code:
            remove_tree(folder)
            raise PrepareError(NO_SETUP, f"setup ended with exit code {code}")
        with open(f"{folder}/.ready", "w", encoding="utf-8") as ready:
            ready.write(f"{order.job}\n")
            ready.flush()
            os.fsync(ready.fileno())
        os.rename(f"{folder}/.ready", f"{folder}/ready")


def tail(directory: str, most_bytes: int = 4_096) -> bytes:
    """Return the end of what the preparation said."""
    try:
        with open(f"{directory}/{OUTPUT}", "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - most_bytes))
            return file.read()
    except OSError:
        return b""


def digest_of(order: Order) -> str:
    """Return the address of the environment that an order wants.

    Raises:
        OSError: an input that the script names cannot be read.
    """
    parts = [b"fenglin-setup-1", order.setup.encode("utf-8", "surrogateescape")]
    parts.append(order.image.encode())
    for name, value in named_variables(order):
        parts.append(f"{name}={value}".encode("utf-8", "surrogateescape"))
    for target, source, executable in named_inputs(order):
        for path, digest in _contents(source):
            parts.append(f"{target}/{path} {executable:d} {digest}".encode())
    return _sha256(b"".join(b"%d:%b" % (len(part), part) for part in parts))


def named_inputs(order: Order) -> list[tuple[str, str, bool]]:
    """Return the inputs that the setup script names: by target, by a folder above it, or by `.`."""
    words = set(re.split(r"[\s'\"=;&|()<>`]+", order.setup))
    words |= {word.removeprefix("./").rstrip("/") for word in words}
    if "." in words:
        return sorted(order.inputs)
    found = []
    for item in order.inputs:
        parts = item[0].split("/")
        if any("/".join(parts[:depth]) in words for depth in range(1, len(parts) + 1)):
            found.append(item)
    return sorted(found)


def named_variables(order: Order) -> list[tuple[str, str]]:
    """Return the job's variables whose names stand in the setup script, sorted."""
    words = set(re.findall(r"[A-Za-z_][A-Za-z0-9_]*", order.setup))
    pairs = [pair.split("=", 1) for pair in order.env]
    return sorted((name, value) for name, value in pairs if name in words)


def prune(envs: str, now_s: float) -> None:
    """Drop environments that nobody uses and that are old, or too many.

    Kept are the 32 that were used last, of those that were used within 14 days.
    """
    last_s: dict[str, float] = {}
    for name in os.listdir(envs):
        path = f"{envs}/{name}"
        try:
            if _DIGEST.fullmatch(name):
                ready = f"{path}/ready"
                last_s[name] = os.stat(ready if os.path.exists(ready) else path).st_mtime
        except OSError:
            continue
    by_use = sorted(last_s, key=lambda name: -last_s[name])
    for place, name in enumerate(by_use):
        if place < MOST_KEPT and now_s - last_s[name] < UNUSED_S:
            continue
        lock = _open_lock(f"{envs}/{name}.lock")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            remove_tree(f"{envs}/{name}")
        except OSError:
            continue  # in use
        finally:
            os.close(lock)


def _contents(source: str) -> Iterator[tuple[str, str]]:
    """Yield (relative path, SHA-256) of a file, or of all files of a folder."""
    if not os.path.isdir(source):
        yield "", _file_sha256(source)
        return
    for folder, folders, names in os.walk(source):
        folders.sort()
        for name in sorted(names):
            path = f"{folder}/{name}"
            if os.path.isfile(path):
                yield os.path.relpath(path, source), _file_sha256(path)


def _file_sha256(path: str) -> str:
    import hashlib  # noqa: PLC0415 - only for attempts with a setup

    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while data := file.read(2**20):
            digest.update(data)
    return digest.hexdigest()


def _sha256(data: bytes) -> str:
    import hashlib  # noqa: PLC0415 - only for attempts with an image or a setup

    return hashlib.sha256(data).hexdigest()


def _open_lock(path: str) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _run(words: list[str], env: dict[str, str], cwd: str, log: TaskLog | None) -> int:
    """Run one step to its end, its output into the log; return the exit code.

    Raises:
        OSError: it cannot be started.
    """
    import subprocess  # noqa: PLC0415 - only for attempts with an image or a setup

    where = subprocess.PIPE if log is not None else subprocess.DEVNULL
    with subprocess.Popen(
        words,
        env=env or None,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=where,
        stderr=subprocess.STDOUT,
    ) as step:
        end_s = time.monotonic() + STEP_TIMEOUT_S
        if log is not None and step.stdout is not None:
            _copy(step.stdout.fileno(), step.pid, log, end_s)
        try:
            return step.wait(max(0.0, end_s - time.monotonic()))
        except subprocess.TimeoutExpired:
            step.kill()
            if log is not None:
                log.note(f"it took longer than {STEP_TIMEOUT_S:.0f} s")
            return -1


def _copy(pipe: int, pid: int, log: TaskLog, end_s: float) -> None:
    """Copy output until the process has ended, whatever still holds the pipe open."""
    os.set_blocking(pipe, False)
    ended = os.pidfd_open(pid)
    poll = select.poll()
    for file in (pipe, ended):
        poll.register(file, select.POLLIN)
    try:
        while time.monotonic() < end_s:
            ready = [file for file, _ in poll.poll(1_000)]
            while pipe in ready:
                try:
                    data = os.read(pipe, 2**16)
                except BlockingIOError:
                    break
                if not data:
                    return
                log.write(data)
            if ended in ready:
                return
    finally:
        os.close(ended)
