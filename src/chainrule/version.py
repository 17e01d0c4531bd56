"""The version of chainrule."""

__version__ = "0.1.0"

# Scripts print these; there is neither here.
cuda = hip = None
