"""Servers that come up whole or not at all."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType


class WholeServer(ABC):
    """Runs inside a `with`: what came up is stopped too when the rest did not."""

    @abstractmethod
    def start(self) -> None:
        """Start everything and wait until it takes work."""

    @abstractmethod
    def stop(self) -> None:
        """End everything that came up."""

    def __enter__(self) -> Self:
        """Start it."""
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop it."""
        self.stop()
