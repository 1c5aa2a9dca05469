"""What every test shares: how Hypothesis runs."""

from hypothesis import settings

# No deadline: a busy machine is no bug. Random each time, and a failure prints what repeats it.
settings.register_profile("ci", deadline=None, derandomize=False, print_blob=True)
settings.load_profile("ci")
