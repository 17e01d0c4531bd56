"""What torch.NAME and Tensor.NAME refuse: the class that PyTorch raises, the rule and the facts.

What they compute is compared with PyTorch in tests/torch/test_methods.py.
"""

import math

import numpy as np
import pytest

import chainrule as torch

INTS = torch.tensor([1, 2])
PAIR = torch.tensor([1.0, 2.0])
MATRIX = torch.arange(6.0).reshape(2, 3)
CUBE = torch.zeros(2, 3, 4)
SCALAR = torch.tensor(1.0)
EMPTY = torch.zeros(0, 2)

CREATE = [
    (lambda: torch.from_numpy([1]), TypeError, "from_numpy requires a NumPy array, got list"),
    (lambda: torch.from_numpy(np.array(["a"])), TypeError,
     "from_numpy requires numbers, got an array of <U1"),
    (lambda: torch.tensor(object()), RuntimeError,
     "tensor requires numbers, sequences of them, or arrays, got object"),
    (lambda: torch.tensor([[1, 2], [3]]), ValueError,
     "tensor requires sequences of equal length at every depth, got a ragged one"),
    (lambda: torch.tensor([1, None]), RuntimeError, "tensor requires numbers, got None"),
    (lambda: torch.tensor(["a"]), ValueError, "tensor requires numbers, got np.str_('a')"),
    (lambda: torch.tensor(300, dtype=torch.uint8), ValueError,
     "torch.uint8 requires a number in [0, 255], got 300"),
    (lambda: torch.tensor([1, 128], dtype=torch.int8), RuntimeError,
     "torch.int8 requires a number in [-128, 127], got 128"),
    (lambda: torch.tensor([math.nan], dtype=torch.int32), RuntimeError,
     "torch.int32 requires a number in [-2147483648, 2147483647], got nan"),
    (lambda: torch.tensor([2**70]), ValueError,
     "torch.int64 requires a number in [-9223372036854775808, 9223372036854775807], got 118"),
    (lambda: torch.full((2,), 300, dtype=torch.uint8), RuntimeError,
     "torch.uint8 requires a number in [0, 255], got 300"),
    (lambda: torch.zeros(2.5), TypeError, "zeros requires integer lengths, got (2.5,)"),
    (lambda: torch.ones(2, -1), RuntimeError, "ones requires lengths >= 0, got (2, -1)"),
    (lambda: torch.arange(3, 0), RuntimeError,
     "arange requires a step that leads from start to end, got 3, 0, 1"),
    (lambda: torch.rand(2, dtype=torch.int64), RuntimeError,
     "rand requires a floating point dtype, got torch.int64"),
]
POINTWISE = [
    (lambda: torch.add("a", PAIR), TypeError, "add requires tensors or numbers, got str"),
    (lambda: torch.mul(1, 2), TypeError, "mul requires at least one Tensor, got two numbers"),
    (lambda: torch.exp(1.0), TypeError, "exp requires a Tensor, got float"),
    (lambda: torch.div(PAIR, 2, rounding_mode="up"), ValueError,
     "div requires rounding_mode None, 'trunc' or 'floor', got 'up'"),
    (lambda: INTS ** -1, RuntimeError, "pow requires exponents >= 0 for integers, got -1"),
    (lambda: PAIR.clamp(), ValueError, "clamp requires min or max, got neither"),
    (lambda: PAIR.masked_fill(INTS, 0.0), RuntimeError,
     "masked_fill requires a bool mask, got torch.int64"),
    (lambda: torch.where(INTS, PAIR, PAIR), RuntimeError,
     "where requires a bool condition, got torch.int64"),
    (lambda: PAIR & PAIR, RuntimeError,
     "bitwise_and requires integers or bool, got torch.float32"),
    (lambda: PAIR.type("torch.Tensor7"), ValueError,
     "type requires the name of a tensor type, got 'torch.Tensor7'"),
]
REDUCE = [
    (lambda: INTS.mean(), RuntimeError, "mean requires a floating point dtype, got torch.int64"),
    (lambda: EMPTY.amax(0), IndexError,
     "amax requires at least one element along the axis, got shape (0, 2)"),
    (lambda: EMPTY.max(), RuntimeError, "max requires at least one element, got shape (0, 2)"),
    (lambda: EMPTY.argmin(), IndexError,
     "argmin requires at least one element along the axis, got shape (0, 2)"),
    (lambda: INTS.softmax(0), RuntimeError,
     "softmax requires a floating point dtype, got torch.int64"),
    (lambda: PAIR.norm("big"), ValueError, "norm requires a number or 'fro', got 'big'"),
    (lambda: MATRIX.sum(2), IndexError, "sum requires dim in [-2, 1], got 2"),
    (lambda: MATRIX.sum((0, 0)), RuntimeError, "sum requires distinct dims, got (0, 0)"),
]
SHAPE = [
    (lambda: MATRIX.reshape(2.0), TypeError, "reshape requires integer lengths, got (2.0,)"),
    (lambda: MATRIX.reshape(-1, -1), RuntimeError, "reshape requires at most one -1, got (-1, -1)"),
    (lambda: MATRIX.reshape(4, -1), RuntimeError,
     "reshape requires as many elements as before, got 6 for shape (4, -1)"),
    (lambda: MATRIX.t().view(6), RuntimeError,
     "view requires elements that lie in order, got strides (1, 3) for shape (3, 2) and (6,)"),
    (lambda: MATRIX.view(torch.float64), RuntimeError,
     "view requires a dtype of 4 bytes, got torch.float64"),
    (lambda: CUBE.flatten(2, 1), RuntimeError, "flatten requires start_dim <= end_dim, got 2, 1"),
    (lambda: SCALAR.unflatten(0, (1, 1)), RuntimeError,
     "unflatten requires at least one axis, got a 0-d tensor"),
    (lambda: CUBE.permute(0, 1), RuntimeError, "permute requires 3 dims, got 2: (0, 1)"),
    (lambda: CUBE.permute(0, 1, 1), RuntimeError,
     "permute requires each of the 3 dims once, got (0, 1, 1)"),
    (lambda: CUBE.t(), RuntimeError, "t requires at most 2 axes, got shape (2, 3, 4)"),
    (lambda: PAIR.mT, RuntimeError, "mT requires at least 2 axes, got shape (2,)"),
    (lambda: PAIR.expand(3), RuntimeError,
     "expand requires each length to be kept or to be 1 before, got (2,) to (3,)"),
    (lambda: CUBE.repeat(2), RuntimeError, "repeat requires at least 3 numbers, got 1"),
    (lambda: torch.broadcast_shapes((2,), (3,)), RuntimeError,
     "broadcast_shapes requires shapes that broadcast together, got (2,) and (3,)"),
]
PARTS = [
    (lambda: PAIR.narrow(0, 1, 2), RuntimeError,
     "narrow requires start and length within 2, got start 1, length 2"),
    (lambda: PAIR.select(0, 2), IndexError, "select requires an index in [-2, 1], got 2"),
    (lambda: PAIR.split(0), ValueError, "split requires a size > 0, got 0"),
    (lambda: PAIR.split([1, 2]), RuntimeError, "split requires sizes that sum to 2, got [1, 2]"),
    (lambda: PAIR.chunk(0), ValueError, "chunk requires chunks > 0, got 0"),
    (lambda: SCALAR.unbind(), IndexError, "unbind requires at least one axis, got a 0-d tensor"),
    (lambda: iter(SCALAR), TypeError, "iteration requires at least one axis, got a 0-d tensor"),
    (lambda: torch.cat([]), ValueError, "cat requires at least one Tensor, got none"),
    (lambda: torch.stack([]), RuntimeError, "stack requires at least one Tensor, got none"),
    (lambda: torch.cat([PAIR, 1]), TypeError, "cat requires Tensors, got int"),
    (lambda: torch.cat([SCALAR, SCALAR]), RuntimeError,
     "cat requires tensors with at least one axis, got a 0-d tensor"),
    (lambda: torch.cat([MATRIX, CUBE]), RuntimeError,
     "cat requires equal lengths except along dim 0, got (2, 3) and (2, 3, 4)"),
    (lambda: torch.stack([PAIR, MATRIX]), RuntimeError,
     "stack requires equal shapes, got (2,) and (2, 3)"),
    (lambda: torch.meshgrid(PAIR, indexing="up"), ValueError,
     "meshgrid requires indexing 'ij' or 'xy', got 'up'"),
    (lambda: PAIR.tril(), RuntimeError, "tril requires at least 2 axes, got (2,)"),
]
INDEX = [
    (lambda: MATRIX[0, 0, 0], IndexError,
     "indexing requires at most 2 indices, got 3 for shape (2, 3)"),
    (lambda: MATRIX[PAIR], IndexError,
     "indexing requires integers or masks, got a tensor of torch.float32"),
    (lambda: MATRIX["a"], TypeError,
     "indexing requires integers, slices, tensors, None or Ellipsis, got str"),
    (lambda: MATRIX[::-1], ValueError, "slicing requires a step > 0, got -1"),
    (lambda: MATRIX[2], IndexError, "indexing requires an index in [-2, 1], got 2"),
    (lambda: MATRIX[torch.tensor([0, 5])], IndexError,
     "indexing requires an index in [-2, 1], got 5"),
    (lambda: MATRIX[torch.tensor([True])], IndexError,
     "indexing requires a mask of shape (2,), got (1,)"),
    (lambda: MATRIX.__setitem__(0, PAIR), RuntimeError,
     "assignment requires a value that broadcasts to (3,), got (2,)"),
]
GATHER = [
    (lambda: PAIR.gather(0, PAIR), RuntimeError,
     "gather requires an int64 index, got torch.float32"),
    (lambda: MATRIX.gather(0, INTS), RuntimeError,
     "gather requires as many axes as the input, got index of shape (2,) for (2, 3)"),
    (lambda: PAIR.reshape(2, 1).gather(0, torch.zeros(1, 2).long()), RuntimeError,
     "gather requires an index no longer than the input except along dim 0, got (1, 2) for (2, 1)"),
    (lambda: PAIR.scatter(0, INTS - 1, INTS), RuntimeError,
     "scatter requires equal dtypes, got torch.int64 into torch.float32"),
    (lambda: PAIR.scatter(0, INTS - 1, 1.0, reduce="multiply"), ValueError,
     "scatter requires reduce None or 'add', got 'multiply'"),
    (lambda: PAIR.scatter_reduce(0, INTS - 1, PAIR, "prod"), ValueError,
     "scatter_reduce requires reduce 'sum' or 'mean', got 'prod'"),
    (lambda: PAIR.index_select(0, torch.zeros(1, 1).long()), IndexError,
     "index_select requires a vector as index, got shape (1, 1)"),
    (lambda: PAIR.topk(3), RuntimeError, "topk requires k in [0, 2], got 3"),
    (lambda: torch.bincount(PAIR), RuntimeError,
     "bincount requires a vector of non-negative integers, got torch.float32 of shape (2,)"),
]
PRODUCTS = [
    (lambda: PAIR @ SCALAR, RuntimeError,
     "matmul requires at least one axis each, got (2,) and ()"),
    (lambda: MATRIX @ MATRIX, RuntimeError,
     "matmul requires a.shape[-1] == b.shape[-2], got (2, 3) @ (2, 3)"),
    (lambda: INTS @ PAIR, RuntimeError,
     "matmul requires equal dtypes, got torch.int64 and torch.float32"),
    (lambda: torch.mm(PAIR, MATRIX), RuntimeError, "mm requires matrices, got shape (2,)"),
    (lambda: torch.bmm(CUBE, torch.zeros(1, 4, 1)), RuntimeError,
     "bmm requires batches of equal length, got (2, 3, 4) and (1, 4, 1)"),
    (lambda: torch.bmm(CUBE, CUBE), RuntimeError,
     "bmm requires a.shape[-1] == b.shape[-2], got (2, 3, 4) @ (2, 3, 4)"),
    (lambda: PAIR.dot(torch.ones(3)), RuntimeError,
     "dot requires equal lengths, got (2,) and (3,)"),
    (lambda: torch.einsum("i,j->ij", PAIR), RuntimeError,
     "einsum requires one term per operand, got 2 terms in 'i,j->ij' for 1 operands"),
    (lambda: torch.einsum("ij->i", PAIR), RuntimeError,
     "einsum requires one label per axis, got 'ij' for 1 axes in 'ij->i'"),
    (lambda: torch.einsum("i->k", PAIR), RuntimeError,
     "einsum requires output labels that occur in an operand, got 'i->k'"),
    (lambda: torch.einsum("i,i->", PAIR, torch.ones(3)), RuntimeError,
     "einsum requires equal lengths for label 'i', got 2 and 3"),
    (lambda: torch.einsum("i,i->", PAIR, INTS), RuntimeError,
     "einsum requires equal dtypes, got torch.float32 and torch.int64"),
]


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [*CREATE, *POINTWISE, *REDUCE, *SHAPE, *PARTS, *INDEX, *GATHER, *PRODUCTS],
    ids=lambda value: value.partition(",")[0] if isinstance(value, str) else "",
)
def test_refused(call, error, text):
    with pytest.raises(error) as caught:
        call()
    message = str(caught.value)
    assert message.startswith(text), message
    assert "\n  recorded at test_methods.py:" in message
