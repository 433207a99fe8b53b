"""Contracts between rooms: what the loop asks of sites, stores, clocks, and what the door asks."""
