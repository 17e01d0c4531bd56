"""On Intel's processors PyTorch's Bernoulli and exponential draws come from Intel's library."""

import pytest


@pytest.fixture(scope="session")
def intel_stream():
    """Whether they do here: a draw then takes a single word of the stream."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    torch.empty(9).bernoulli_(0.5)
    one = torch.get_rng_state()
    torch.manual_seed(0)
    torch.rand(18)
    return not torch.equal(one, torch.get_rng_state())


@pytest.fixture
def common_stream(intel_stream):
    """For tests of draws that agree wherever Intel's library does not draw them."""
    if intel_stream:
        pytest.skip("PyTorch draws these from Intel's library here")
