"""Sia's experiments (SOSP'23): training jobs that change type and number of cards each round."""
