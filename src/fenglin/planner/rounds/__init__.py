"""Rounds: who runs on which type of worker until the next round, and who shares with whom."""
