"""Every example in a docstring runs and prints what it says."""

import doctest
import importlib
import pkgutil

import pytest

import chainrule

# Needs a package that only scripts which log to TensorBoard have.
OPTIONAL = {"chainrule.utils.tensorboard": "tensorboard"}


def module_names() -> list[str]:
    found = pkgutil.walk_packages(chainrule.__path__, "chainrule.")
    return ["chainrule", *(m.name for m in found if not m.name.endswith("__main__"))]


@pytest.mark.parametrize("name", module_names())
def test_examples(name):
    if name in OPTIONAL:
        pytest.importorskip(OPTIONAL[name])
    result = doctest.testmod(importlib.import_module(name))
    assert not result.failed
