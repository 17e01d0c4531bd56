"""Elementary functions as vector code."""

FUNCTIONS = {}


def power(b, x, exponent):
    raise NotImplementedError
