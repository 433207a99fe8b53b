# ruff: noqa: PTH103, PTH104, PTH105, PTH108, PTH110, PTH112, PTH116, PTH118, PTH123, PTH208, TID252
"""The hub's hand on a host: starts runners, reads what they wrote, tells of pokes.

It lives as long as its connection and holds nothing that matters: runners go on without it. One
message is a line `HEAD_SIZE BODY_SIZE`, a JSON head, and a body of bytes. A request has `id` and
`op`; its answer has the same `id`, and `error` when it failed. `id` 0 is news: `poke` names
attempts whose journals have grown.

    start   key, epoch, go, inputs; order in the body     look    cursors
    go      key                                           log     key, task, offset, limit
    stop    key, grace_ms                                 journal key
    peers   key, tasks                                    order   key
    unwanted  key, tasks, grace_ms
    forget  key                                           keys    -
    lacks   digests                                       take    digest, name
    kept    key, tasks                                    machine -
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import select
import stat
import threading
import time

from . import claim as claims
from . import machine, sights
from .attempts import Attempts, RefusedError, refused
from .journal import JOURNAL, POKE
from .order import ORDER
from .workspace import remove_tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Answer = tuple[dict[str, Any], bytes]

ANSWER_BYTES = 2**22
READ_BYTES = 2**16
LOG_BYTES = 2**20
BLOB_AGE_S = 14 * 86_400
UPLOAD_AGE_S = 86_400
FRESH_BLOB_S = 3_600
REAP_S = 1.0
OWNER = "agent"
MEMORY = "memory"
_SENDING = threading.Lock()
_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}", re.ASCII)


class Agent:
    """Answers one hub about one node.

    Attributes:
        place: Folder of this hub's attempts on this node.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        """Take the configuration: `root`, `hub`, `site`, `node`, `pass_env`, `cache_bytes`.

        Raises:
            OSError: the folders cannot be made.
        """
        root = config["root"]
        names = [checked(config[name], NAME) for name in ("hub", "site", "node")]
        self.place = os.path.join(root, "sites", *names)
        self._blobs = os.path.join(root, "blobs")
        self._uploads = os.path.join(root, "uploads")
        for folder in (self.place, self._blobs, self._uploads):
            os.makedirs(folder, 0o700, exist_ok=True)
        self._attempts = Attempts(self.place, config["pass_env"])
        self._looker = sights.Looker(self._attempts, lambda: time.time_ns() // 1_000_000)
        self._me = f"{os.getpid()} {os.urandom(8).hex()}"
        _put(os.path.join(self.place, OWNER), self._me)
        self._memory = _memory(os.path.join(self.place, MEMORY))
        self._poke = fifo(os.path.join(self.place, POKE))
        self._input = bytearray()
        self._asked_machine = threading.Lock()
        self._cache_bytes = int(config.get("cache_bytes", 0))
        self._blob_bytes = _sweep(self._blobs, BLOB_AGE_S, self._cache_bytes)
        _sweep(self._uploads, UPLOAD_AGE_S)

    def run(self) -> None:
        """Answer until the connection ends."""
        poll = select.poll()
        for file in (0, self._poke):
            poll.register(file, select.POLLIN)
        while True:
            ready = [file for file, _ in poll.poll(REAP_S * 1000)]
            self._attempts.reap()
            try:
                if self._poke in ready:
                    if not self._in_charge():
                        return
                    self._tell_pokes()
                if 0 in ready and not self._hear():
                    return
            except BrokenPipeError:
                return

    def _hear(self) -> bool:
        """Read what has come and answer the whole messages; return False at the end."""
        data = os.read(0, READ_BYTES)
        if not data:
            return False
        self._input += data
        while True:
            line, newline, _ = bytes(self._input[:64]).partition(b"\n")
            if not newline:
                return True
            head_size, body_size = (int(word) for word in line.split())
            start = len(line) + 1
            end = start + head_size + body_size
            while len(self._input) < end:
                data = os.read(0, READ_BYTES)
                if not data:
                    return False
                self._input += data
            head = json.loads(bytes(self._input[start : start + head_size]))
            body = bytes(self._input[start + head_size : end])
            del self._input[:end]
            if not self._in_charge():
                return False
            self._answer(head, body)

    def _in_charge(self) -> bool:
        """Return whether no later agent has come.

        What a dead connection delivers late must not be done after the hub has looked anew.
        """
        with open(os.path.join(self.place, OWNER), encoding="ascii") as file:
            return file.read() == self._me

    def _answer(self, head: dict[str, Any], body: bytes) -> None:
        """Do one request; whatever fails is told, and ends nothing."""
        answer: dict[str, Any] = {}
        data = b""
        if head["op"] == "machine" and self._asked_machine.acquire(blocking=False):
            work = threading.Thread(target=self._tell_machine, args=[head["id"]], daemon=True)
            work.start()
            return
        try:
            answer, data = getattr(self, "_op_" + str(head["op"]))(head, body)
        except RefusedError as error:
            told = {"what": error.what, "hint": error.hint, "unknown": error.unknown}
            answer = {"error": told}
        except OSError as error:
            failed = refused(error, unknown=True)
            answer = {"error": {"what": failed.what, "hint": failed.hint, "unknown": True}}
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            answer = {"error": {"what": f"{type(error).__name__}: {error}", "unknown": True}}
        send({**answer, "id": head["id"]}, data)

    def _tell_pokes(self) -> None:
        """Pass on whose journals have news."""
        try:
            keys = os.read(self._poke, READ_BYTES).decode("ascii", "replace").split()
        except BlockingIOError:
            return
        send({"id": 0, "poke": sorted(set(keys))}, b"")

    # --- attempts ---------------------------------------------------------------------------

    def _op_start(self, head: dict[str, Any], body: bytes) -> Answer:
        key = str(head["key"])
        lacks = [digest for digest in head["inputs"] if not os.path.exists(self._blob(digest))]
        if lacks:
            raise RefusedError(f"{len(lacks)} input files are not on the host")
        self._attempts.start(key, int(head["epoch"]), body, go=False)
        folder = os.path.join(self._attempts.active, key)
        if head["inputs"] and os.path.isdir(folder):
            self._link(os.path.join(folder, "inputs"), head["inputs"])
        if head["go"]:
            self._attempts.go(key)
        return {}, b""

    def _link(self, folder: str, digests: list[str]) -> None:
        """Give an attempt its inputs under names of its own, so that no sweep takes them."""
        os.makedirs(folder, 0o700, exist_ok=True)
        for digest in digests:
            try:
                os.link(self._blob(digest), os.path.join(folder, digest))
            except FileExistsError:
                continue

    def _op_go(self, head: dict[str, Any], _: bytes) -> Answer:
        self._attempts.go(str(head["key"]))
        return {}, b""

    def _op_stop(self, head: dict[str, Any], _: bytes) -> Answer:
        self._attempts.stop(str(head["key"]), int(head["grace_ms"]))
        return {}, b""

    def _op_peers(self, head: dict[str, Any], _: bytes) -> Answer:
        self._attempts.end_gangs(str(head["key"]), [int(task) for task in head["tasks"]])
        return {}, b""

    def _op_unwanted(self, head: dict[str, Any], _: bytes) -> Answer:
        tasks = [int(task) for task in head["tasks"]]
        self._attempts.stop_tasks(str(head["key"]), tasks, int(head["grace_ms"]))
        return {}, b""

    def _op_forget(self, head: dict[str, Any], _: bytes) -> Answer:
        key = str(head["key"])
        self._attempts.forget(key)
        self._looker.forget(key)
        remove_tree(os.path.join(self.place, "artifacts", key))
        return {}, b""

    def _op_keys(self, _: dict[str, Any], __: bytes) -> Answer:
        return {"keys": sorted(self._attempts.keys())}, b""

    def _op_look(self, head: dict[str, Any], _: bytes) -> Answer:
        """Answer [key, presence, reason, more, claimed, artifacts, size] for each."""
        found: list[list[Any]] = []
        pages: list[bytes] = []
        room = ANSWER_BYTES
        for key, offset in head["cursors"].items():
            if room < sights.PAGE_BYTES:
                found.append([key, sights.RUNNING, "", True, True, False, 0])
                continue
            try:
                sight = self._looker.look(key, int(offset))
            except (OSError, ValueError, RefusedError):
                sight = sights.Sight(sights.UNKNOWN)
            size = len(sight.data)
            kept = os.path.isdir(os.path.join(self.place, "artifacts", key))
            found.append([key, sight.presence, sight.reason, sight.more, sight.claimed, kept, size])
            pages.append(sight.data)
            room -= size
        return {"found": found}, b"".join(pages)

    def _op_log(self, head: dict[str, Any], _: bytes) -> Answer:
        """Whether the output has ended is asked before it is read."""
        key, task, offset = str(head["key"]), int(head["task"]), int(head["offset"])
        folder = self._attempts.folder(key)
        if folder is None:
            return {"ended": False, "size": 0}, b""
        claim = claims.read(str(folder))
        void = claim is not None and bool(claim.void)
        ended = void or sights.has_ended(self._journal(key), task)
        try:
            with open(folder / f"{task}.log", "rb") as file:
                size = os.fstat(file.fileno()).st_size
                file.seek(offset)
                data = file.read(max(0, min(int(head["limit"]), LOG_BYTES)))
        except FileNotFoundError:
            return {"ended": ended, "size": 0}, b""
        return {"ended": ended, "size": size}, data

    def _op_journal(self, head: dict[str, Any], _: bytes) -> Answer:
        key = str(head["key"])
        return {"there": self._attempts.folder(key) is not None}, self._journal(key)

    def _op_order(self, head: dict[str, Any], _: bytes) -> Answer:
        folder = self._attempts.folder(str(head["key"]))
        try:
            return {}, b"" if folder is None else (folder / ORDER).read_bytes()
        except FileNotFoundError:
            return {}, b""

    def _journal(self, key: str) -> bytes:
        folder = self._attempts.folder(key)
        try:
            return b"" if folder is None else (folder / JOURNAL).read_bytes()
        except FileNotFoundError:
            return b""

    # --- files ------------------------------------------------------------------------------

    def _blob(self, digest: str) -> str:
        return os.path.join(self._blobs, checked(digest, _DIGEST))

    def _op_lacks(self, head: dict[str, Any], _: bytes) -> Answer:
        lacks = []
        for digest in head["digests"]:
            path = self._blob(digest)
            try:
                os.utime(path)  # in use: no sweep takes it soon
            except FileNotFoundError:
                lacks.append(digest)
        return {"lacks": lacks, "uploads": self._uploads}, b""

    def _op_take(self, head: dict[str, Any], _: bytes) -> Answer:
        """Take an uploaded file in, if it is what it says; the hub sends it again otherwise."""
        draft = os.path.join(self._uploads, checked(head["name"], NAME))
        digest = hashlib.sha256()
        file = os.open(draft, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            while data := os.read(file, 2**20):
                digest.update(data)
            os.fchmod(file, 0o444)
            os.fsync(file)
        finally:
            os.close(file)
        if digest.hexdigest() != head["digest"]:
            os.unlink(draft)
            raise RefusedError("an input file arrived damaged", "it is sent again")
        path = self._blob(head["digest"])
        os.rename(draft, path)
        self._blob_bytes += os.stat(path).st_size
        if self._blob_bytes > self._cache_bytes:
            self._blob_bytes = _sweep(self._blobs, BLOB_AGE_S, self._cache_bytes)
        return {}, b""

    def _op_machine(self, _: dict[str, Any], __: bytes) -> Answer:
        """Come here only while an earlier question is open."""
        raise RefusedError("the tools of its cards do not answer", "try nvidia-smi there by hand")

    def _op_kept(self, head: dict[str, Any], _: bytes) -> Answer:
        """Answer [task, path, size, mode] of each artifact of these tasks."""
        base = os.path.join(self.place, "artifacts", checked(head["key"], NAME))
        files: list[list[Any]] = []
        for task in head["tasks"]:
            top = os.path.join(base, str(int(task)))
            for folder, _folders, names in os.walk(top):
                for name in names:
                    path = os.path.join(folder, name)
                    info = os.lstat(path)
                    if stat.S_ISREG(info.st_mode):
                        short = os.path.relpath(path, top)
                        files.append([int(task), short, info.st_size, info.st_mode & 0o777])
        return {"files": files, "base": base}, b""

    def _tell_machine(self, number: int) -> None:
        """Answer beside all else: the tool of a sick card hangs for as long as it likes."""
        try:
            answer = {**machine.facts(self.place), "memory": self._memory}
        except OSError as error:
            answer = {"error": {"what": refused(error).what}}
        self._asked_machine.release()
        with contextlib.suppress(BrokenPipeError):
            send({**answer, "id": number}, b"")


def checked(text: str, form: re.Pattern[str]) -> str:
    """Return a name that is safe as part of a path."""
    if not form.fullmatch(text):
        raise RefusedError(f"{text[:80]!r} is not a name here")
    return text


def send(head: dict[str, Any], body: bytes) -> None:
    """Write one message."""
    text = json.dumps(head).encode()
    view = memoryview(b"%d %d\n%s%s" % (len(text), len(body), text, body))
    with _SENDING:
        while view:
            view = view[os.write(1, view) :]


def _put(path: str, text: str) -> None:
    """Replace a small file at once."""
    draft = f"{path}.{os.getpid()}"
    with open(draft, "w", encoding="ascii") as file:
        file.write(text)
    os.replace(draft, path)


def _memory(path: str) -> str:
    """Return the id of this folder, made with it: a folder that was lost comes back as another."""
    if not os.path.exists(path):
        _put(path, os.urandom(8).hex())
    with open(path, encoding="ascii") as file:
        return file.read()


def fifo(path: str) -> int:
    """Open the FIFO for reading and writing, so that it never reports end-of-file."""
    try:
        os.mkfifo(path, 0o600)
    except FileExistsError:
        if not stat.S_ISFIFO(os.lstat(path).st_mode):
            os.unlink(path)
            os.mkfifo(path, 0o600)
    return os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)


def _sweep(folder: str, age_s: float, most_bytes: int = 0) -> int:
    """Remove files that no attempt holds; return how many bytes are left.

    Those go that were not asked for in a long time, and the oldest beyond so many bytes (0: no
    limit). What was asked for within the hour stays: a start may be about to use it.
    """
    now_s = time.time()
    found = []
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        try:
            info = os.lstat(path)
        except OSError:
            continue
        found.append((info.st_mtime, info.st_nlink, info.st_size, path))
    left = sum(size for _, _, size, _ in found)
    for used_s, links, size, path in sorted(found):
        old = used_s < now_s - age_s
        over = most_bytes and left > most_bytes and used_s < now_s - FRESH_BLOB_S
        if links > 1 or not (old or over):
            continue
        with contextlib.suppress(OSError):
            os.unlink(path)
            left -= size
    return left
