"""Fenglin: one pool from unlike clusters, clouds and machines."""

__version__ = "0.1.0"
