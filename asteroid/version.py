"""The version, without further imports."""

__version__ = "0.2.0"
