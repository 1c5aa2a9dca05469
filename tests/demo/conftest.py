"""Give the tests here the real models."""

from tests.real_models import local_models

__all__ = ["local_models"]
