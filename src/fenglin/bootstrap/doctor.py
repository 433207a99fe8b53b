"""What can be told of a deployment without asking its hub: its file, folder, disk and database."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

from fenglin.bootstrap import DATABASE, read_config
from fenglin.bootstrap.database import keys_of_secrets, place_of, quick_check
from fenglin.errors import FenglinError, NotFoundError
from fenglin.ports.discovery import load_factory
from fenglin.storage.keyring import KEY_FILE, FileKeyring
from fenglin.wire.doctor_views import Finding, Level

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fenglin.bootstrap.database import Place
    from fenglin.intake.hubfile import HubConfig

LEAST_FREE_BYTES = 2**30
LEAST_FREE_PART = 0.05
OLDEST_BACKUP_S = 7 * 86_400
# Programs of a site's own that a driver runs on this machine.
_COMMANDS = {"slurm": ("sbatch", "squeue", "sacct", "scancel", "sinfo")}


def examine(config: Path | None, data: Path | None, backups: Path | None) -> Iterator[Finding]:
    """Yield what is found, good or bad.

    Args:
        config: The hub's fenglin.toml; None for that of this folder, or none.
        data: Its data folder; None takes the configuration's.
        backups: Folder of backups, whose newest should not be old; None to ask for none.
    """
    try:
        settings, base = read_config(config)
        place = place_of(config, data)
    except FenglinError as error:
        yield Finding("configuration", Level.BAD, str(error), error.hint or "correct the file")
        return
    yield Finding("configuration", Level.OK, f"{len(settings.sites)} sites")
    yield from _drivers(settings)
    yield from _folder(place.folder)
    yield from _keys(settings, base, place)
    yield from _disk(place.folder)
    yield from _database(place)
    if backups is not None:
        yield _backup(backups)


def _drivers(settings: HubConfig) -> Iterator[Finding]:
    """Yield whether each site's driver can be loaded, and the programs that it runs are there."""
    for site in settings.sites:
        check = f"driver of {site.name}"
        try:
            load_factory(site.driver, f"site.{site.name}.driver")
        except FenglinError as error:
            yield Finding(check, Level.BAD, error.what, error.hint)
            continue
        own = settings.settings.get(site.name, {})
        far = any(key in own for key in ("url", "host", "rest", "ssh"))
        lacking = [name for name in _COMMANDS.get(site.driver, ()) if shutil.which(name) is None]
        if lacking and not far:
            what = f"{site.driver}: not on the PATH: {', '.join(lacking)}"
            yield Finding(check, Level.BAD, what, "install them, or correct the hub's PATH")
        else:
            yield Finding(check, Level.OK, site.driver)


def _folder(folder: Path) -> Iterator[Finding]:
    if not folder.is_dir():
        yield Finding("data folder", Level.WARN, f"{folder}: not there yet", "start the hub once")
        return
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        yield Finding("data folder", Level.BAD, f"{folder}: cannot be written", "check its owner")
        return
    open_ones = [
        path.name
        for path in (folder, folder / DATABASE, folder / "admin.token")
        if path.exists() and path.stat().st_mode & 0o077
    ]
    if open_ones:
        what = f"others on this machine may read {', '.join(open_ones)}"
        yield Finding("data folder", Level.BAD, what, f"chmod -R go= {folder}")
    else:
        yield Finding("data folder", Level.OK, str(folder))


def _keys(settings: HubConfig, base: Path, place: Place) -> Iterator[Finding]:
    """Yield whether the keys of secrets are there and can be read, and by nobody else."""
    shared = base / settings.hub.shared if settings.hub.shared else place.folder
    path = Path(settings.hub.secrets_key or shared / KEY_FILE)
    check = "secrets' keys"
    try:
        keys = FileKeyring(path).ids()
    except FenglinError as error:
        yield Finding(check, Level.BAD, str(error), error.hint)
        return
    # A database that cannot be asked is told below.
    with contextlib.suppress(FenglinError):
        for key, secrets in keys_of_secrets(place).items():
            if key not in keys:
                what = f"the key {key}, which seals {secrets} secrets, is not in {path}"
                hint = "put its line back from the copy, or set them again: `fenglin secret list`"
                yield Finding(check, Level.BAD, what, hint)
    if keys and path.stat().st_mode & 0o077:
        what = f"others on this machine may read {path}"
        yield Finding(check, Level.BAD, what, f"chmod 600 {path}; then replace the key")
    elif keys:
        yield Finding(check, Level.OK, f"{len(keys)} in {path}, the newest is {keys[-1]}")


def _disk(folder: Path) -> Iterator[Finding]:
    there = next(path for path in (folder, *folder.parents) if path.exists())
    usage = shutil.disk_usage(there)
    what = f"{usage.free / 2**30:.1f} GiB free of {usage.total / 2**30:.1f}"
    if usage.free < min(LEAST_FREE_BYTES, usage.total // 2):
        yield Finding("disk", Level.BAD, what, "free some space: a full disk stops all starts")
    elif usage.free < usage.total * LEAST_FREE_PART:
        yield Finding("disk", Level.WARN, what, "free some space soon")
    else:
        yield Finding("disk", Level.OK, what)


def _database(place: Place) -> Iterator[Finding]:
    try:
        problems = quick_check(place)
    except NotFoundError:
        yield Finding("database", Level.WARN, "there is none yet", "start the hub once")
        return
    except FenglinError as error:
        yield Finding("database", Level.BAD, error.what, error.hint)
        return
    for problem in problems:
        yield Finding("database", Level.BAD, problem, "run `fenglin db check`; see a backup")
    if not problems:
        yield Finding("database", Level.OK, "readable, of this program's version")


def _backup(folder: Path) -> Finding:
    try:
        times = [path.stat().st_mtime for path in folder.iterdir() if path.is_file()]
    except OSError as error:
        return Finding("backups", Level.BAD, f"{folder}: {error.strerror}", "check the folder")
    if not times:
        return Finding("backups", Level.BAD, f"{folder}: none", "run `fenglin db backup`")
    age_s = time.time() - max(times)
    what = f"the newest is {age_s / 86_400:.1f} days old"
    if age_s > OLDEST_BACKUP_S:
        return Finding("backups", Level.WARN, what, "run `fenglin db backup`")
    return Finding("backups", Level.OK, what)
