"""Training: fits the scorer to one's own outcomes, proves it on those held out, measures policies.

Needs the extra `train` (numpy, scipy); nothing that serves requests imports it.
"""
