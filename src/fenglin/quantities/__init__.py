"""Exact amounts: task sets, durations, byte sizes, money, resource vectors."""
