"""pointsman: a router for language models."""
