"""Here the interpreter computes: what is compared are bits."""

import pytest


@pytest.fixture(autouse=True)
def interpreted(monkeypatch):
    monkeypatch.setattr("chainrule.config.jit", "0")
