"""Measures Fenglin beside its peers and beside what this machine can do at most."""
