"""Generators of workloads: seeded, endless, each with statistics that are tested."""
