"""Durable state: the embedded store on one SQLite file."""
