"""What a Tensor refuses, and how it says so."""

import copy
import operator
import pickle

import pytest

import chainrule as torch
from chainrule.errors import ArgumentTypeError, DTypeError, GradError, ShapeError


def var(*values):
    return torch.tensor(values, requires_grad=True)


def leaf_in_place():
    var(1.0, 2.0).add_(1)


def view_of_a_leaf_in_place():
    var(1.0, 2.0)[0].add_(1)


REFUSED = {
    "item": (lambda: torch.ones(2).item(), ShapeError, [
        "item requires a tensor with one element, got shape (2,)",
        "a Tensor with 2 elements cannot be converted to Scalar"]),
    "bool": (lambda: bool(torch.ones(2)), ShapeError, [
        "bool() requires a tensor with one element, got shape (2,)", ".any() or .all()"]),
    "index of a float": (lambda: [1, 2][torch.tensor(1.0)], ArgumentTypeError, [
        "an index requires an integer tensor with one element, got torch.float32 of shape ()"]),
    "index of several": (lambda: operator.index(torch.tensor([1, 2])), ArgumentTypeError, [
        "an index requires an integer tensor with one element, got torch.int64 of shape (2,)"]),
    "len": (lambda: len(torch.ones(())), ArgumentTypeError, [
        "len() requires at least one axis, got a 0-d tensor"]),
    "numpy": (lambda: var(1.0).numpy(), GradError, [
        "numpy requires a tensor that does not require grad", "x.detach().numpy()"]),
    "deepcopy": (lambda: copy.deepcopy(var(1.0) * 2), GradError, [
        "deepcopy requires a leaf, got a tensor with history", "x.detach().clone()"]),
    "pickle": (lambda: pickle.dumps(torch.ones(1)), ArgumentTypeError, [
        "pickling requires a format that runs no code when it is read, got pickle", "torch.save"]),
    "integers": (lambda: torch.ones(2, dtype=torch.int64).requires_grad_(), GradError, [
        "requires_grad requires a floating point dtype, got torch.int64", "x.float()"]),
    "intermediate": (lambda: (var(1.0) * 2).requires_grad_(False), GradError, [
        "requires_grad_(False) requires a leaf, got the result of mul", ".detach()"]),
    "leaf in place": (leaf_in_place, GradError, [
        "in-place operations require a tensor whose history can change, got a leaf Variable that "
        "requires grad", "torch.no_grad()"]),
    "view of a leaf in place": (view_of_a_leaf_in_place, GradError, [
        "got a view of a leaf Variable that requires grad"]),
    "expanded in place": (lambda: torch.ones(1).expand(3).add_(1), ShapeError, [
        "in-place operations require elements of their own, got an expanded tensor of shape (3,)",
        ".clone()"]),
    "too large in place": (lambda: torch.ones(2).add_(torch.ones(3, 2)), ShapeError, [
        "in-place operations require a result of the tensor's shape (2,), got (3, 2)",
        "output with shape [2] doesn't match the broadcast shape [3, 2]"]),
    "float into int in place": (
        lambda: torch.ones(2, dtype=torch.int64).add_(torch.ones(2)), DTypeError,
        ["in-place operations require a result that fits, got torch.float32 into torch.int64",
         "result type Float can't be cast to the desired output type Long"]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name):
    program, kind, parts = REFUSED[name]
    with pytest.raises(kind) as error:
        program()
    for part in parts:
        assert part in str(error.value)


def test_a_missing_name_suggests_the_nearest():
    with pytest.raises(AttributeError, match="the nearest name is 'reshape'"):
        torch.ones(2).reshap(2)
