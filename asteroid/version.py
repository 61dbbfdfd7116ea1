"""The version, in a module of its own: whoever asks for it does not import what :mod:`asteroid` offers."""

__version__ = "0.1.0"
