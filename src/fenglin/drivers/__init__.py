"""Drivers: one folder per kind of site. They never import each other."""
