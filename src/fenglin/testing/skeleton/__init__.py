"""A driver for skeleton sites: the entry point names `driver`."""

from fenglin.testing.skeleton.driver import driver

__all__ = ["driver"]
