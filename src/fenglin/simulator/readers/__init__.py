"""Readers of published traces: one small file for each format, one registry for all."""
