"""The site's part of the shared file system: attempt folders, the runner's code, files moved.

HUB/SITE/generation          random, new when the folder was lost
HUB/SITE/code-DIGEST/        element.py and host/, what nodes run
HUB/SITE/attempts/KEY/       order, claim (the array's id), journal (merged), stop, epoch
HUB/SITE/attempts/KEY/in/    inputs     out/INDEX/  artifacts on their way to the hub
HUB/SITE/attempts/KEY/eN/    an element: journal, control, INDEX.log, tINDEX/
HUB/SITE/envs/               environments that jobs' setups make, see `runner.host.prepare`
HUB/SITE/kept/KEY/           after `forget`: claim, journal, INDEX.log
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from fenglin.drivers.slurm import element, gang
from fenglin.drivers.slurm.layout import Layout
from fenglin.runner import host
from fenglin.runner.containers import container_lines
from fenglin.runner.host import claim as claims
from fenglin.runner.host.attempts import Attempts
from fenglin.runner.host.journal import JOURNAL
from fenglin.runner.host.order import ORDER, decode, encode
from fenglin.runner.host.workspace import remove_tree
from fenglin.runner.orders import order_lines

if TYPE_CHECKING:
    from fenglin.ports.driver import StagedInput, StartOrder
    from fenglin.runner.containers import ContainerSettings

GENERATION = "generation"
INPUTS = "in"
OUTPUTS = "out"
OUTPUT = "slurm.out"
CHUNK = "chunk"
TARGET = "artifacts_target"
# Without `site` and whatever the environment says; one word, since a `#!` line takes no more.
FLAGS = "-ISE"
LONGEST_INTERPRETER = 100


class Shared:
    """Folders of one site, on the shared file system. Synchronous: called in worker threads.

    Attributes:
        attempts: The attempt folders.
    """

    def __init__(self, root: Path, log_cap_bytes: int, containers: ContainerSettings) -> None:
        """Make what is missing.

        Raises:
            OSError: the folder cannot be made or written.
        """
        self.root = root
        self.attempts = Attempts(root)
        self._log_cap_bytes = log_cap_bytes
        self._containers = containers
        self._code: Path | None = None

    @property
    def generation(self) -> str:
        """Id of this folder's life.

        Raises:
            OSError: it cannot be read, or is gone.
        """
        return (self.root / GENERATION).read_text(encoding="ascii").strip()

    def begin(self) -> None:
        """Give a new folder its id.

        Raises:
            OSError: it cannot be written.
        """
        path = self.root / GENERATION
        if not path.exists():
            draft = self.root / f".{GENERATION}.{secrets.token_hex(4)}"
            draft.write_text(secrets.token_hex(8), encoding="ascii")
            draft.replace(path)

    def prepare(
        self, order: StartOrder, inputs: tuple[StagedInput, ...], outputs: str, layout: Layout
    ) -> bool:
        """Make the attempt's folder with its order; return whether it is new.

        Args:
            order: The order.
            inputs: Its inputs as nodes will find them.
            outputs: Where nodes leave its artifacts.
            layout: Its elements.

        Raises:
            OSError, RefusedError, UnicodeEncodeError: it cannot be, nothing has left us.
        """
        fresh = self.attempts.folder(order.key) is None
        brought = msgspec.structs.replace(order, inputs=inputs, artifacts_dir=outputs)
        lines = [
            *order_lines(brought, self._log_cap_bytes, 0),
            *container_lines(self._containers, ""),
            (CHUNK, str(layout.chunk)),
            (TARGET, order.artifacts_dir),
        ]
        self.attempts.start(order.key, order.epoch, encode(lines), go=False)
        return fresh

    def bring(self, order: StartOrder) -> None:
        """Put an order's inputs beside it.

        Raises:
            OSError: one cannot be copied.
        """
        _bring(self.attempts.active / order.key / INPUTS, order.inputs)

    def layout(self, path: Path) -> tuple[Layout, str]:
        """Return an attempt's layout and where its artifacts go.

        Raises:
            OSError, ValueError, KeyError, IndexError: the order cannot be read.
        """
        values = decode((path / ORDER).read_bytes())
        return Layout(values["tasks"][0], int(values[CHUNK][0])), values[TARGET][0]

    def keep(self, path: Path) -> None:
        """Move an ended attempt to `kept`, with its claim, its journal and its output only.

        Raises:
            OSError: the disk refuses; asked again it goes on.
        """
        entries = list(os.scandir(path))
        # Logs first: as long as the order is there, they may still be where they were.
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if _is_element(entry.name):
                    _lift_logs(path, Path(entry.path))
                remove_tree(entry.path)
        for entry in entries:
            worth = entry.name in (claims.CLAIM, JOURNAL, OUTPUT) or entry.name.endswith(".log")
            if not worth and not entry.is_dir(follow_symlinks=False):
                Path(entry.path).unlink()
        path.rename(self.root / "kept" / path.name)

    def installed(self) -> Path:
        """Copy what nodes run, once per version of it; no hub ever changes a copy in use.

        Raises:
            OSError: the disk refuses.
        """
        if self._code is not None and self._code.exists():
            return self._code
        others = Path(host.__file__).parent
        files = {f"host/{f.name}": f.read_bytes() for f in sorted(others.glob("*.py"))}
        files |= {name: text.encode() for name, text in own_code().items()}
        digest = hashlib.sha256(b"\0".join([n.encode() + d for n, d in sorted(files.items())]))
        target = self.root / f"code-{digest.hexdigest()[:16]}"
        if not target.exists():
            draft = self.root / f".code.{secrets.token_hex(4)}"
            (draft / "host").mkdir(parents=True)
            for name, content in files.items():
                (draft / name).write_bytes(content)
            try:
                draft.rename(target)
            except OSError:
                remove_tree(str(draft))
                if not target.exists():
                    raise
        self._code = target
        return target


def own_code() -> dict[str, str]:
    """Return the names and texts of what nodes run beside `fenglin.runner.host`."""
    paths = (Path(element.__file__), Path(gang.__file__))
    return {path.name: path.read_text("utf-8") for path in paths}


def batch_script(python: str, code: str, attempt: str) -> str:
    """Return the batch script of an attempt; the same for every element.

    Args:
        python: Interpreter of the nodes.
        code: Folder of what they run.
        attempt: Folder of the attempt, as they see it.
    """
    lines = ["import sys", f"sys.path.insert(0, {code!r})", "import element"]
    lines.append(f"element.begin({attempt!r})")
    if python.startswith("/") and len(python) <= LONGEST_INTERPRETER and " " not in python:
        # The interpreter itself reads the script: no shell is started for each element.
        return "\n".join([f"#!{python} {FLAGS}", *lines, ""])
    words = (python, FLAGS, "-c", "; ".join(lines))
    return "#!/bin/sh\nexec " + " ".join(_quoted(word) for word in words) + "\n"


def deliver(source: Path, target: Path) -> None:
    """Move a task's artifacts from the shared folder to the hub's; what is not there was moved.

    Raises:
        OSError: the disk refuses; asked again it goes on.
    """
    if not source.is_dir() or source.is_symlink():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.parent / f".{target.name}.new"
    old = target.parent / f".{target.name}.old"
    for leftover in (draft, old):
        remove_tree(str(leftover))
    try:
        source.rename(draft)
    except OSError:
        # Another file system: copied, links as links (the runner has left none).
        shutil.copytree(source, draft, symlinks=True)
    if target.exists():
        target.rename(old)
    draft.rename(target)
    remove_tree(str(old))
    remove_tree(str(source))


def elements_in(path: Path) -> set[int]:
    """Return the elements that have a folder.

    Raises:
        OSError: it cannot be listed.
    """
    return {int(name[1:]) for name in os.listdir(path) if _is_element(name)}  # noqa: PTH208 - names alone


def _is_element(name: str) -> bool:
    return name[:1] == "e" and name[1:].isdecimal()


def _bring(folder: Path, inputs: tuple[StagedInput, ...]) -> None:
    """Put what tasks need where the nodes see it; linked where that can be, else copied."""
    for number, item in enumerate(inputs):
        folder.mkdir(mode=0o700, exist_ok=True)
        source, target = Path(item.source), folder / str(number)
        if target.exists() or not source.exists():
            continue  # what is not there is missed, and told, by the task that needs it
        draft = folder / f".{number}"
        if source.is_dir():
            remove_tree(str(draft))
            shutil.copytree(source, draft, symlinks=True, copy_function=_link_or_copy)
        else:
            draft.unlink(missing_ok=True)
            _link_or_copy(str(source), str(draft))
        draft.rename(target)


def _link_or_copy(source: str, target: str) -> None:
    """Link a file that nobody may write; copy any other, and across file systems."""
    if not Path(source).stat().st_mode & 0o222 and os.geteuid() != 0:
        try:
            os.link(source, target)
        except OSError:
            pass
        else:
            return
    shutil.copy2(source, target)


def _lift_logs(path: Path, folder: Path) -> None:
    for entry in list(os.scandir(folder)):
        if entry.name.endswith(".log") and entry.is_file(follow_symlinks=False):
            Path(entry.path).replace(path / entry.name)


def _quoted(word: str) -> str:
    """Return a word for the shell of the batch script."""
    return "'" + word.replace("'", "'\\''") + "'"
