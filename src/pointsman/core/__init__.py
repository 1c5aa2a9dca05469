"""Core: pure types and functions. No I/O, no clock, no randomness, no async."""
