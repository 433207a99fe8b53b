# ruff: noqa: PTH108, PTH123
r"""The order file: one `name value` per line, `\n` and `\\` escaped, closed by `end`.

Plain lines rather than JSON: the runner reads them without an import, an operator with `less`.
Repeated names make a list. The order is written once and renamed into place. Lines of secrets go
to a file of their own beside it, which is removed when it has been read.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ORDER = "order"
# The file beside the order, and the line that says how many it holds.
SECRETS = "secrets"
SECRET = "secret"  # noqa: S105 - a word of the file, no password


class Order:
    """What the runner needs of a `StartOrder`; fields mean the same as there.

    Attributes:
        shares: (node, slots, cards) with the numbers of the cards, slot by slot, as text.
        ranks: Task index → (rank, nodes of its gang), for a gang whose other ranks run on other
            hosts; empty when all ranks are ours.
        addresses: Node → where the others of its gang reach it.
        cards_variable: Variable that confines a process to its cards, by their vendor.
        containers: Container runtime to use, or `auto`.
        container_options: Options for it, each one word.
        isolation: What keeps tasks together, see `isolation`.
        envs_dir: Folder of prepared environments; empty for one in the attempt's own folder.
    """

    __slots__ = (
        "addresses",
        "artifacts",
        "artifacts_dir",
        "cards_variable",
        "command",
        "container_options",
        "containers",
        "cpus",
        "disk_bytes",
        "env",
        "envs_dir",
        "flavor",
        "grace_ms",
        "image",
        "inputs",
        "isolation",
        "job",
        "key",
        "log_cap_bytes",
        "memory_bytes",
        "nice",
        "nodes",
        "ranks",
        "script",
        "secrets",
        "setup",
        "shares",
        "site",
        "task_count",
        "tasks",
        "timeout_ms",
        "tries",
        "workdir",
    )

    def __init__(self, values: dict[str, list[str]]) -> None:
        """Read the decoded lines.

        Raises:
            KeyError: a line is missing.
            ValueError: a value is not what it must be.
        """
        self.key = values["key"][0]
        self.job = values["job"][0]
        self.site = values["site"][0]
        self.flavor = values["flavor"][0]
        self.tasks = values["tasks"][0]
        self.task_count = values["task_count"][0]
        self.tries = {int(a): b for a, _, b in (t.partition(" ") for t in values.get("try", []))}
        self.shares = [_share(text) for text in values.get("share", [])]
        self.ranks = dict(_rank(text) for text in values.get("rank", []))
        pairs = (text.partition(" ") for text in values.get("address", []))
        self.addresses = {node: address for node, _, address in pairs}
        self.cards_variable = values.get("cards_variable", [""])[0]
        self.nodes = int(values["nodes"][0])
        self.nice = int(values["nice"][0])
        self.cpus = values["cpus"][0]
        self.memory_bytes = int(values["memory_bytes"][0])
        self.disk_bytes = int(values["disk_bytes"][0])
        self.command = values.get("command", [])
        self.script = values["script"][0]
        self.env = values.get("env", [])
        self.secrets = values.get(SECRET, [])
        self.workdir = values["workdir"][0]
        self.inputs = [_input(text) for text in values.get("input", [])]
        self.artifacts = values.get("artifact", [])
        self.artifacts_dir = values["artifacts_dir"][0]
        self.timeout_ms = int(values["timeout_ms"][0])
        self.grace_ms = int(values["grace_ms"][0])
        self.log_cap_bytes = int(values["log_cap_bytes"][0])
        self.image = values.get("image", [""])[0]
        self.setup = values.get("setup", [""])[0]
        self.containers = values.get("containers", ["auto"])[0]
        self.container_options = values.get("container_option", [])
        self.isolation = values.get("isolation", ["none"])[0]
        self.envs_dir = values.get("envs_dir", [""])[0]

    @property
    def slots(self) -> int:
        """Return how many tasks run at once."""
        return max(1, sum(slots for _, slots, _ in self.shares) // self.nodes)


def indices(text: str) -> Iterator[int]:
    """Yield the task indices of `0-4,7` in rising order."""
    for part in text.split(",") if text else ():
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)


def encode(lines: Iterable[tuple[str, str]]) -> bytes:
    """Return the file's content.

    Raises:
        UnicodeEncodeError: a value holds a lone surrogate.
    """
    rows = [
        f"{name} {value.replace(chr(92), chr(92) * 2).replace(chr(10), chr(92) + 'n')}"
        for name, value in lines
    ]
    return ("\n".join([*rows, "end", ""])).encode("utf-8", "surrogateescape")


def decode(data: bytes) -> dict[str, list[str]]:
    """Return name → values.

    Raises:
        ValueError: the file is cut short.
    """
    rows = data.decode("utf-8", "surrogateescape").split("\n")
    if rows[-2:] != ["end", ""]:
        raise ValueError("the order file is cut short")
    values: dict[str, list[str]] = {}
    for row in rows[:-2]:
        name, _, value = row.partition(" ")
        parts = [part.replace("\\n", "\n") for part in value.split("\\\\")]
        values.setdefault(name, []).append("\\".join(parts))
    return values


def split(data: bytes) -> tuple[bytes, bytes]:
    """Return an order without its secrets, and the file of its secrets, empty for none."""
    mark = SECRET.encode() + b" "
    if b"\n" + mark not in data:
        return data, b""
    rows = data.split(b"\n")
    hidden = [row for row in rows if row.startswith(mark)]
    return b"\n".join(row for row in rows if row not in hidden), b"\n".join([*hidden, b"end", b""])


def read(directory: str, *, last: bool) -> dict[str, list[str]]:
    """Return name → values of the order in a folder, with its secrets.

    Args:
        directory: Of the attempt.
        last: Whether nobody will read the secrets again: their file is removed.

    Raises:
        OSError: a file is not there.
        ValueError: one is cut short, or lacks some.
    """
    with open(f"{directory}/{ORDER}", "rb") as file:
        values = decode(file.read())
    count = int(values.get(SECRETS, ["0"])[0])
    if count:
        path = f"{directory}/{SECRETS}"
        with open(path, "rb") as file:
            values.update(decode(file.read()))
        if last:
            os.unlink(path)
        if len(values[SECRET]) != count:
            raise ValueError("the file of secrets lacks some")
    return values


def _share(text: str) -> tuple[str, int, list[str]]:
    """Return (node, slots, cards) of `SLOTS NODE [CARD,CARD…]`."""
    slots, node, *rest = text.split(" ")
    return node, int(slots), rest[0].split(",") if rest else []


def _rank(text: str) -> tuple[int, tuple[int, list[str]]]:
    """Return (index, (rank, nodes)) of `INDEX RANK NODE,NODE…`."""
    index, rank, nodes = text.split(" ")
    return int(index), (int(rank), nodes.split(","))


def _input(text: str) -> tuple[str, str, bool]:
    """Return (target, source, executable) of `x|- LENGTH TARGETSOURCE`."""
    flag, size, rest = text.split(" ", 2)
    return rest[: int(size)], rest[int(size) :], flag == "x"
