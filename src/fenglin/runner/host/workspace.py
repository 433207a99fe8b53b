# ruff: noqa: PTH101, PTH102, PTH103, PTH104, PTH106, PTH108, PTH112, PTH116, PTH208, SIM105
"""A task's folder: what is brought in before it starts, what is kept after it succeeded.

Runs in a forked child of the runner, so that a slow copy never holds up the other tasks. No
path is followed through a symbolic link that a task could have made: every step into a folder
is an `openat` with O_NOFOLLOW.
"""

from __future__ import annotations

import fnmatch
import os
import re
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
ARTIFACTS = "artifacts"
COPY_BYTES = 2**20


class WorkspaceError(Exception):
    """An input cannot be brought or an artifact cannot be kept; the text is for the user."""


def bring(root: str, inputs: list[tuple[str, str, bool]]) -> None:
    """Place every (target, source, executable) below `root`.

    Raises:
        WorkspaceError: a target leaves the folder, or a source cannot be read.
    """
    for target, source, executable in inputs:
        parts = _checked(target)
        try:
            parent = _open_parents(root, parts[:-1])
            try:
                _place(parent, parts[-1], source, executable=executable)
            finally:
                os.close(parent)
        except OSError as error:
            raise WorkspaceError(f"cannot bring {source} to {target}: {error.strerror}") from error


def _checked(target: str) -> list[str]:
    """Return the parts of a target that stays inside."""
    parts = [part for part in target.split("/") if part not in ("", ".")]
    if target.startswith("/") or not parts or ".." in parts or "\0" in target:
        raise WorkspaceError(f"input target {target!r} is not a path inside the working directory")
    return parts


def _open_parents(root: str, parts: list[str]) -> int:
    """Return a descriptor of the folder below root, made where missing, never through a link."""
    here = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    for part in parts:
        try:
            os.mkdir(part, dir_fd=here)
        except FileExistsError:
            pass
        below = os.open(part, FOLDER, dir_fd=here)
        os.close(here)
        here = below
    return here


def _place(parent: int, name: str, source: str, *, executable: bool) -> None:
    """Link a folder, link a file that nobody may write, copy any other."""
    info = os.stat(source)
    try:
        os.unlink(name, dir_fd=parent)
    except FileNotFoundError:
        pass
    if stat.S_ISDIR(info.st_mode):
        os.symlink(source, name, dir_fd=parent)
        return
    # A hard link shares its content with the hub's own copy. Only where the permission bits
    # keep the task from writing (they do not bind root) is that safe.
    writable = bool(info.st_mode & 0o222) or os.geteuid() == 0
    if not writable and bool(info.st_mode & 0o111) == executable:
        try:
            os.link(source, name, dst_dir_fd=parent)
        except OSError:
            pass
        else:
            return
    mode = 0o755 if executable else 0o644
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    target = os.open(name, flags, mode, dir_fd=parent)
    try:
        _copy_from(source, target)
    finally:
        os.close(target)


def _copy_from(source: str, target: int, dir_fd: int | None = None) -> None:
    """Copy a file's content to a descriptor."""
    follow = 0 if dir_fd is None else os.O_NOFOLLOW
    reader = os.open(source, os.O_RDONLY | os.O_CLOEXEC | follow, dir_fd=dir_fd)
    try:
        while data := os.read(reader, COPY_BYTES):
            view = memoryview(data)
            while view:
                view = view[os.write(target, view) :]
    finally:
        os.close(reader)


def keep(
    cwd: str, own: str, patterns: list[str], inputs: list[str], target: str, *, move: bool
) -> list[str]:
    """Gather files matching the patterns, then publish `own/artifacts` as `target`.

    Args:
        cwd: Where the task ran.
        own: The task's own folder.
        patterns: Globs relative to `cwd`; `**` stands for any number of folders.
        inputs: Targets that were brought in and are no artifacts.
        target: Folder that receives the artifacts; an older one is replaced.
        move: Whether `cwd` is the task's own, so that files may be moved out of it.

    Returns:
        Remarks for the log: patterns that matched nothing, links left out.

    Raises:
        WorkspaceError: the artifacts cannot be written.
    """
    kept = f"{own}/{ARTIFACTS}"
    notes = []
    try:
        for pattern in patterns:
            skip = {ARTIFACTS, *inputs} if move else set(inputs)
            matched = list(_matches(cwd, pattern, skip))
            for path in matched:
                _gather(cwd, kept, path, move=move)
            if not matched:
                notes.append(f"artifacts: nothing matches {pattern!r}")
        if os.path.isdir(kept) and os.listdir(kept):
            notes += _scrub(kept)
            _publish(kept, target)
    except OSError as error:
        where = error.filename or target
        raise WorkspaceError(f"cannot keep artifacts: {where}: {error.strerror}") from error
    return notes


def _matches(cwd: str, pattern: str, skip: set[str]) -> Iterator[str]:
    """Yield relative paths of regular files that match, or lie below a folder that does."""
    wanted = [p if p == "**" else re.compile(fnmatch.translate(p)) for p in pattern.split("/") if p]
    stack = [("", False)]
    while stack:
        folder, inside = stack.pop()
        with os.scandir(f"{cwd}/{folder}") as entries:
            for entry in entries:
                path = f"{folder}{entry.name}"
                if path in skip:
                    continue
                hit = inside or _match(path.split("/"), wanted)
                if entry.is_dir(follow_symlinks=False):
                    stack.append((f"{path}/", hit))
                elif hit and entry.is_file(follow_symlinks=False):
                    yield path


def _match(parts: list[str], wanted: list[re.Pattern[str] | str]) -> bool:
    """Return whether the parts match, `**` taking any number of them."""
    if not wanted:
        return not parts
    first, rest = wanted[0], wanted[1:]
    if isinstance(first, str):
        return any(_match(parts[i:], rest) for i in range(len(parts) + 1))
    return bool(parts) and first.match(parts[0]) is not None and _match(parts[1:], rest)


def _gather(cwd: str, kept: str, path: str, *, move: bool) -> None:
    """Bring one matched file below the artifacts folder."""
    parts = path.split("/")
    parent = _open_parents(kept, parts[:-1])
    try:
        if move:
            os.rename(f"{cwd}/{path}", parts[-1], dst_dir_fd=parent)
            return
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        target = os.open(parts[-1], flags, 0o644, dir_fd=parent)
        try:
            _copy_from(f"{cwd}/{path}", target)
        finally:
            os.close(target)
    finally:
        os.close(parent)


def _scrub(folder: str) -> list[str]:
    """Remove links and special files, drop set-id bits, and sync the rest."""
    notes = []
    stack = [folder]
    while stack:
        here = stack.pop()
        with os.scandir(here) as entries:
            for entry in list(entries):
                if entry.is_dir(follow_symlinks=False):
                    stack.append(entry.path)
                elif entry.is_file(follow_symlinks=False):
                    os.chmod(entry.path, entry.stat(follow_symlinks=False).st_mode & 0o777 | 0o400)
                    _sync(entry.path, os.O_RDONLY)
                else:
                    os.unlink(entry.path)
                    notes.append(f"artifacts: {entry.name!r} left out, it is no regular file")
        _sync(here, FOLDER)
    return notes


def _sync(path: str, flags: int) -> None:
    """Bring one file or folder to the disk."""
    file = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _publish(kept: str, target: str) -> None:
    """Make the folder appear as `target` by one rename, in place of an older one."""
    parent, name = os.path.split(target)
    os.makedirs(parent, exist_ok=True)
    mark = f"{parent}/.{name}.{os.getpid()}"
    try:
        os.rename(kept, f"{mark}.new")
    except OSError:
        # Another filesystem, most likely; if it is anything else the copy says what.
        _copy_tree(kept, f"{mark}.new")
    try:
        os.rename(target, f"{mark}.old")
    except FileNotFoundError:
        pass
    os.rename(f"{mark}.new", target)
    _sync(parent, FOLDER & ~os.O_NOFOLLOW)
    remove_tree(f"{mark}.old")


def _copy_tree(source: str, target: str) -> None:
    """Copy regular files and folders; nothing else is left after `_scrub`."""
    os.mkdir(target)
    with os.scandir(source) as entries:
        for entry in entries:
            goal = f"{target}/{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                _copy_tree(entry.path, goal)
                continue
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            file = os.open(goal, flags, entry.stat(follow_symlinks=False).st_mode & 0o777)
            try:
                _copy_from(entry.path, file)
                os.fsync(file)
            finally:
                os.close(file)
    _sync(target, FOLDER)


def remove_tree(path: str) -> None:
    """Remove a folder and all below it, never through a link; missing is no error."""
    try:
        with os.scandir(path) as entries:
            for entry in list(entries):
                if entry.is_dir(follow_symlinks=False):
                    remove_tree(entry.path)
                else:
                    os.unlink(entry.path)
        os.rmdir(path)
    except FileNotFoundError:
        return
