"""Metering: what was used by our records, what the provider says, and where the two differ."""
