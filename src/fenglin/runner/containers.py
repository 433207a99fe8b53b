"""What a site says of how tasks are kept apart: container runtime, its options, control groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from fenglin.errors import InputError
from fenglin.runner.host.container import AUTO, RUNTIMES, find
from fenglin.runner.host.isolation import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterator

NONE = "none"
MOST_OPTIONS = 100


class ContainerSettings(Struct, frozen=True):
    """How a site runs images.

    Attributes:
        runtime: `podman`, `apptainer`, `singularity`, `auto` for the first of them that is
            there, or `none`.
        options: For each container, each one word such as `--device=/dev/davinci0`.
    """

    runtime: str = AUTO
    options: tuple[str, ...] = ()


def read_containers(runtime: object, options: object, where: str) -> ContainerSettings:
    """Check the settings `containers` and `container_options`.

    Raises:
        InputError: one is wrong.
    """
    allowed = (AUTO, *RUNTIMES, NONE)
    if runtime not in allowed or not isinstance(runtime, str):
        raise InputError(
            f"containers cannot be {str(runtime)[:80]!r}",
            where=f"{where}.containers",
            hint=f"one of {', '.join(allowed)}",
        )
    good = isinstance(options, list | tuple) and len(options) <= MOST_OPTIONS
    words = tuple(options) if isinstance(options, list | tuple) else ()
    for word in words:
        plain = isinstance(word, str) and word.startswith("--") and len(word) > 2
        good = good and plain and word.isprintable()
    if not good:
        raise InputError(
            "container_options is not a list of options",
            where=f"{where}.container_options",
            hint='each is one word: container_options = ["--network=none"]',
        )
    return ContainerSettings(runtime, words)


def read_isolation(value: object, where: str) -> str:
    """Check the setting `isolation`.

    Raises:
        InputError: it is none of the few words.
    """
    if isinstance(value, str) and value in KINDS:
        return value
    raise InputError(
        f"isolation cannot be {str(value)[:80]!r}",
        where=f"{where}.isolation",
        hint=f"one of {', '.join(KINDS)}",
    )


def runs_images(settings: ContainerSettings) -> bool:
    """Return whether this machine has the runtime."""
    return settings.runtime != NONE and bool(find(settings.runtime))


def container_lines(settings: ContainerSettings, envs_dir: str) -> Iterator[tuple[str, str]]:
    """Yield the lines of an order that tell where its tasks stand.

    Args:
        settings: Of the site.
        envs_dir: Folder on the host for prepared environments, shared by all attempts there.
    """
    yield "containers", settings.runtime
    for option in settings.options:
        yield "container_option", option
    yield "envs_dir", envs_dir
