"""Replays of labelled prompts through what may answer them from the cache."""
