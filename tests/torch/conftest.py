"""What the comparisons with PyTorch share: running a program under both, and its stream."""

import math

import pytest

import chainrule


def plain(result):
    """Nested plain values: what two frameworks can agree on."""
    if isinstance(result, (list, tuple)):
        return [plain(x) for x in result]
    if isinstance(result, dict):
        return {k: plain(v) for k, v in result.items()}
    if hasattr(result, "requires_grad"):
        dtype = str(result.dtype).removeprefix("torch.")
        return [dtype, list(result.shape), result.detach().tolist()]
    return result


def largest(values):
    """The largest magnitude in nested lists of numbers; at least 1."""
    if isinstance(values, list):
        return max([1.0, *map(largest, values)])
    is_number = isinstance(values, float) and math.isfinite(values)
    return abs(values) if is_number else 1.0


def assert_same(ours, theirs, size=1.0):
    """Equal, but for the rounding of float32.  `size` is the largest number of the array: a sum
    that nearly cancels is as exact as its terms are."""
    if isinstance(theirs, list):
        assert len(ours) == len(theirs)
        is_array = len(theirs) == 3 and isinstance(theirs[0], str)  # dtype, shape, numbers
        size = largest(theirs[2]) if is_array else size
        for a, b in zip(ours, theirs):
            assert_same(a, b, size)
    elif isinstance(theirs, dict):
        assert list(ours) == list(theirs)
        for k in theirs:
            assert_same(ours[k], theirs[k])
    elif isinstance(theirs, float) and not math.isnan(theirs):
        assert ours == pytest.approx(theirs, rel=1e-5, abs=1e-6 * size)
    elif isinstance(theirs, float):
        assert math.isnan(ours)
    else:
        assert ours == theirs


def outcome(program, module):
    """What the program returns, or what it raises."""
    try:
        return plain(program(module)), None
    except Exception as error:
        return None, error


@pytest.fixture
def agree():
    """A function that takes a program, itself a function of the module `torch`, and checks that
    it returns the same under both frameworks, or raises the same builtin kind of error."""
    torch = pytest.importorskip("torch")

    def check(program):
        theirs, refused = outcome(program, torch)
        ours, error = outcome(program, chainrule)
        if refused is None:
            if error is not None:
                raise error
            assert_same(ours, theirs)
        else:
            kind = next(k for k in type(refused).__mro__ if k.__module__ == "builtins")
            assert isinstance(error, kind), (ours, error, refused)

    return check


@pytest.fixture(scope="session")
def intel_stream():
    """Whether PyTorch draws Bernoulli and exponential numbers from Intel's library here, as it
    does on Intel's processors: a draw then takes a single word of the stream."""
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
