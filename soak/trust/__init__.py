"""Trust: what G11 is measured with: an upstream that repeats what it hears, canaries, attacks."""
