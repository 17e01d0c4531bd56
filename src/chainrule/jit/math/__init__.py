"""Elementary functions as vector code: what the ops ask of a Builder by name."""

from __future__ import annotations

from collections.abc import Callable

from . import division, exponential, powers, rounding, special, trigonometric
from .division import DIVISION_BY_ZERO
from .powers import power

__all__ = ["COST", "DIVISION_BY_ZERO", "FUNCTIONS", "power"]

#: name -> function(builder, *values) -> value
FUNCTIONS: dict[str, Callable] = {
    "exp": exponential.exp,
    "expm1": exponential.expm1,
    "log": exponential.log,
    "log1p": exponential.log1p,
    "log2": exponential.log2,
    "log10": exponential.log10,
    "sigmoid": exponential.sigmoid,
    "tanh": exponential.tanh,
    "sqrt": rounding.sqrt,
    "floor": rounding.floor,
    "ceil": rounding.ceil,
    "trunc": rounding.trunc,
    "round": rounding.round_,
    "sign": rounding.sign,
    "isnan": rounding.isnan,
    "isinf": rounding.isinf,
    "isfinite": rounding.isfinite,
    "floor_divide": division.floor_divide,
    "remainder": division.remainder,
    "fmod": division.fmod,
    "pow": powers.pow_,
    "erf": special.erf,
    "erfinv": special.erfinv,
    "lgamma": special.lgamma,
    "digamma": special.digamma,
    "polygamma": special.polygamma,
    **{
        name: getattr(trigonometric, name)
        for name in (
            "sin", "cos", "tan", "asin", "acos", "atan", "atan2", "sinh", "cosh", "asinh",
            "acosh", "atanh",
        )
    },
}

#: name -> how many instructions it is, roughly: what computing it twice costs
COST: dict[str, int] = {
    "exp": 14, "expm1": 18, "log": 26, "log1p": 30, "log2": 26, "log10": 28, "sigmoid": 30,
    "tanh": 28, "sqrt": 10, "floor": 1, "ceil": 1, "trunc": 1, "round": 1, "sign": 4, "isnan": 1,
    "isinf": 2, "isfinite": 2, "pow": 90, "sin": 35, "cos": 35, "tan": 45, "asin": 35, "acos": 38,
    "atan": 35, "atan2": 45, "sinh": 35, "cosh": 28, "asinh": 60, "acosh": 60, "atanh": 50,
    "floor_divide": 40, "remainder": 35, "fmod": 30, "erf": 30, "erfinv": 110,
    "lgamma": 140, "digamma": 130, "polygamma": 200,
}
