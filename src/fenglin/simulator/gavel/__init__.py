"""Gavel's experiments: training jobs on unlike accelerators, leased round by round."""
