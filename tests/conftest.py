"""What every test shares: how Hypothesis runs, and the real models."""

from hypothesis import settings

pytest_plugins = ["tests.real_models"]

# No deadline: a busy machine is no bug. Random each time, and a failure prints what repeats it.
settings.register_profile("ci", deadline=None, derandomize=False, print_blob=True)
settings.load_profile("ci")
