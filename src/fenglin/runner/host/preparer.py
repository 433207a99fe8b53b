# ruff: noqa: PLC0415, TID252
"""The runner's view of what stands ready before its first task; see `prepare` for the work."""

from __future__ import annotations

import os

from . import children, proc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .container import Container
    from .order import Order
    from .prepare import Preparation
    from .task import Launcher, Task


class Preparer:
    """Has image and environment made in a child; holds what came of it.

    Attributes:
        file: Tells of the child's end; -1 while there is none.
        failure: Reason by which every task ends, since its place could not be made; else empty.
        container: What tasks run in; None for the host as it is.
    """

    def __init__(self, order: Order, directory: str) -> None:
        """Make nothing yet."""
        self._order = order
        self._directory = directory
        self._pid = 0
        self._made: Preparation | None = None
        self.file = -1
        self.failure = ""
        self.container: Container | None = None

    @property
    def busy(self) -> bool:
        """Return whether tasks must wait."""
        return self.file >= 0

    def begin(self) -> int:
        """Start the work if there is any; return `file`."""
        if not (self._order.image or self._order.setup):
            return -1
        from .prepare import Preparation  # most attempts need neither

        try:
            self._made = Preparation(self._order, self._directory)
            self._pid = children.fork(self._made.work, 2)
            self.file = os.pidfd_open(self._pid)
        except OSError as error:
            self.failure = "setup_failed" if self._order.setup else "image_failed"
            os.write(2, f"fenglin: cannot prepare: {error}\n".encode(errors="replace"))
        return self.file

    def end(self, launcher: Launcher) -> None:
        """Take what the child has made, or note why it could not."""
        from . import container, prepare  # loaded already

        _, status = os.waitpid(self._pid, 0)
        self.file = -1
        code = os.waitstatus_to_exitcode(status)
        order = self._order
        if code or self._made is None:
            failed = "setup_failed" if order.setup else "image_failed"
            self.failure = prepare.REASONS.get(code, failed)
            return
        place = self._made.place()
        if place.program:
            options = order.container_options
            self.container = container.Container(place.program, place.image, options, order.key)
        launcher.enter(place.folder, self.container)

    def stop(self) -> None:
        """End the work at once."""
        if self.busy:
            proc.signal_group(self._pid, proc.SIGKILL)

    def said(self) -> bytes:
        """Return the end of what the work that failed has said."""
        from .prepare import tail  # loaded already

        return tail(self._directory)

    def look(self, task: Task) -> None:
        """Learn which processes of a task run inside of containers."""
        if self.container is not None:
            self.container.look(task)

    def close(self) -> None:
        """Remove what containers have left."""
        if self.container is not None:
            self.container.clean()
