"""The version of pointsman: the build, the command line and the server all read it here."""

__version__ = "0.1.0"
