"""Bad input is refused in one form: rule, facts, the user's line, at most one hint.

The type is the one that PyTorch raises, so that programs that catch it still work.
"""

import math
import pickle
import re
import sys
from contextlib import contextmanager

import numpy as np
import pytest

import chainrule as torch
import chainrule.nn as nn
import chainrule.nn.functional as F

FORM = re.compile(
    r"(?P<rule>[^\n]+ (requires|require) [^\n]+, got [^\n]+)"
    r"\n  recorded at test_bad_input\.py:(?P<line>\d+)(, in [^\n]+)?"
    r"(\n  hint: [^\n]+)?"
)


@contextmanager
def refused(kind, *parts):
    """Expect an error of the kind, in the form, whose text contains the parts."""
    line = sys._getframe(2).f_lineno
    with pytest.raises(kind) as caught:
        yield
    text = str(caught.value)
    form = FORM.fullmatch(text)
    assert form, f"not in the form of an error: {text}"
    assert abs(int(form["line"]) - line) <= 12, f"{form['line']} is not near line {line}: {text}"
    for part in parts:
        assert part in text, f"{part!r} is missing in: {text}"


# ---- shapes

SHAPES = {
    "add": (lambda: torch.ones(2, 3) + torch.ones(4), "(2, 3)", "(4,)"),
    "mul": (lambda: torch.ones(2, 3) * torch.ones(3, 2), "(2, 3)", "(3, 2)"),
    "compare": (lambda: torch.ones(2) < torch.ones(3), "(2,)", "(3,)"),
    "where": (
        lambda: torch.where(torch.ones(2) > 0, torch.ones(3), torch.ones(3)),
        "(2,)",
        "(3,)",
    ),
    "matmul": (lambda: torch.ones(2, 3) @ torch.ones(4, 5), "(2, 3)", "(4, 5)"),
    "matmul vector": (lambda: torch.ones(3) @ torch.ones(4), "(3,)", "(4,)"),
    "mm": (lambda: torch.mm(torch.ones(3), torch.ones(3, 1)), "mm", "(3,)"),
    "bmm": (lambda: torch.bmm(torch.ones(2, 3, 4), torch.ones(3, 4, 5)), "bmm", "(2, 3, 4)"),
    "dot": (lambda: torch.dot(torch.ones(2), torch.ones(3)), "dot", "(3,)"),
    "view": (lambda: torch.ones(2, 3).view(4), "6", "(4,)"),
    "reshape": (lambda: torch.ones(2, 3).reshape(-1, 4), "6", "(-1, 4)"),
    "view of a transpose": (lambda: torch.ones(2, 3).t().view(6), "view", "reshape"),
    "expand": (lambda: torch.ones(2, 3).expand(2, 4), "expand", "(2, 3)"),
    "cat": (lambda: torch.cat([torch.ones(2, 3), torch.ones(2, 4)]), "cat", "(2, 4)"),
    "stack": (lambda: torch.stack([torch.ones(2), torch.ones(3)]), "stack", "(3,)"),
    "permute": (lambda: torch.ones(2, 3).permute(0, 1, 2), "permute", "(0, 1, 2)"),
    "squeeze and item": (lambda: torch.ones(2).item(), "item", "2"),
    "bool": (lambda: bool(torch.ones(2)), "bool", "2"),
    "masked": (lambda: torch.ones(2, 3).masked_fill(torch.ones(4) > 0, 0.0), "(4,)"),
    "gather": (lambda: torch.gather(torch.ones(2, 3), 0, torch.tensor([0])), "gather"),
    "einsum": (lambda: torch.einsum("ij,jk", torch.ones(2, 3), torch.ones(4, 5)), "j", "3", "4"),
    "write": (lambda: torch.zeros(2, 3).__setitem__(0, torch.ones(4)), "(4,)", "(3,)"),
    "in place": (lambda: torch.ones(3).add_(torch.ones(2, 3)), "(3,)", "(2, 3)"),
    "copy_": (lambda: torch.ones(3).copy_(torch.ones(4)), "(3,)", "(4,)"),
}  # fmt: skip


@pytest.mark.parametrize("name", SHAPES)
def test_shapes_that_do_not_fit(name):
    make, *parts = SHAPES[name]
    with pytest.raises(RuntimeError) as caught:
        make()
    form = FORM.fullmatch(str(caught.value))
    assert form, str(caught.value)
    assert int(form["line"]) in range(make.__code__.co_firstlineno, line_after(make)), name
    for part in parts:
        assert part in str(caught.value), str(caught.value)


def line_after(function):
    return max(line for *_, line in function.__code__.co_lines() if line) + 1


@pytest.mark.parametrize(
    "index",
    [2, -3, (0, 3), (slice(None), -4), torch.tensor([0, 2])],
    ids=["row", "negative row", "column", "negative column", "tensor"],
)
def test_an_index_outside_of_its_axis(index):
    x = torch.arange(6.0).view(2, 3)
    with refused(IndexError, "2" if index != (0, 3) else "3"):
        x[index].tolist()


def test_too_many_indices():
    with refused(IndexError, "(2, 3)"):
        torch.ones(2, 3)[0, 0, 0]


@pytest.mark.parametrize("dim", [2, -3])
def test_an_axis_that_does_not_exist(dim):
    with refused(IndexError, str(dim)):
        torch.ones(2, 3).sum(dim)
    with refused(IndexError, str(dim)):
        F.softmax(torch.ones(2, 3), dim=dim)


def test_ragged_lists():
    with pytest.raises(ValueError) as caught:
        torch.tensor([[1, 2], [3]])
    assert FORM.fullmatch(str(caught.value))


# ---- dtypes and devices


def test_matmul_of_two_dtypes():
    with refused(RuntimeError, "float32", "float64"):
        torch.ones(2, 2) @ torch.ones(2, 2, dtype=torch.float64)


def test_in_place_result_does_not_fit_the_dtype():
    counts = torch.arange(3)
    with refused(RuntimeError, "int64", "float32"):
        counts += 0.5
    assert counts.tolist() == [0, 1, 2]


def test_indices_must_be_integers():
    with refused(IndexError, "float32"):
        torch.ones(3)[torch.tensor([0.0])]
    with refused(RuntimeError, "float32"):
        F.embedding(torch.tensor([0.0]), torch.ones(3, 2))


def test_mean_of_integers():
    with refused(RuntimeError, "mean", "int64"):
        torch.arange(3).mean()


def test_loss_of_mixed_dtypes():
    with refused(RuntimeError, "float64"):
        nn.Linear(2, 1)(torch.ones(1, 2, dtype=torch.float64))


@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_a_device_this_machine_does_not_have(device):
    with refused((RuntimeError, AssertionError), device, "cpu"):
        torch.ones(2).to(device)
    with refused((RuntimeError, AssertionError), device, "cpu"):
        torch.ones(2, device=device)
    with refused((RuntimeError, AssertionError), device, "cpu"):
        nn.Linear(2, 2).to(device)


def test_a_device_nobody_has():
    with refused(RuntimeError, "gpu"):
        torch.device("gpu")


# ---- gradients


def test_backward_from_a_vector():
    x = torch.ones(3, requires_grad=True)
    with refused(RuntimeError, "scalar", "(3,)"):
        (x * 2).backward()
    assert x.grad is None


def test_a_second_backward():
    x = torch.ones(3, requires_grad=True)
    loss = (x * x).sum()
    loss.backward()
    with refused(RuntimeError, "retain_graph=True"):
        loss.backward()
    assert x.grad.tolist() == [2.0, 2.0, 2.0]


def test_backward_through_a_part_that_was_let_go():
    x = torch.ones(3, requires_grad=True)
    shared = x * x
    shared.sum().backward()
    with refused(RuntimeError, "retain_graph=True"):
        (shared * 3).sum().backward()


def test_backward_without_anything_that_requires_grad():
    with refused(RuntimeError, "requires grad"):
        torch.ones(3).sum().backward()
    cut = (torch.ones(3, requires_grad=True) * 2).detach()
    with refused(RuntimeError, "detach"):
        cut.sum().backward()


def test_a_cotangent_of_another_shape():
    x = torch.ones(3, requires_grad=True)
    with refused(RuntimeError, "(3,)", "(2,)"):
        (x * 2).backward(torch.ones(2))


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.uint8])
def test_integers_have_no_gradient(dtype):
    name = str(dtype).removeprefix("torch.")
    with refused(RuntimeError, name):
        torch.ones(3, dtype=dtype, requires_grad=True)
    with refused(RuntimeError, name):
        torch.ones(3, dtype=dtype).requires_grad_()
    with refused(RuntimeError, name):
        nn.Parameter(torch.ones(3, dtype=dtype))


def test_a_second_backward_is_refused_also_when_the_value_is_known():
    x = torch.ones(3, requires_grad=True)
    y = (x * x).sum().exp()
    y.backward()
    y.item()  # the graph below is let go: only the right to differentiate it must be remembered
    with pytest.raises(RuntimeError, match="second time"):
        y.backward()
    with pytest.raises(RuntimeError, match="second time"):
        torch.autograd.grad(y, x)


def test_an_unused_tensor_has_no_gradient():
    x, y = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    with refused(RuntimeError, "allow_unused=True"):
        torch.autograd.grad(x.sum(), [x, y])


def test_writing_into_a_leaf_that_requires_grad():
    w = torch.ones(3, requires_grad=True)
    with refused(RuntimeError, "no_grad"):
        w.add_(1)
    with refused(RuntimeError, "no_grad"):
        w[0] = 5.0
    with refused(RuntimeError, "no_grad"):
        w.view(3)[1:].zero_()
    assert w.tolist() == [1.0, 1.0, 1.0]


def test_writing_through_an_expanded_view():
    with refused(RuntimeError, "expand"):
        torch.ones(1).expand(3).add_(1)


def test_numpy_of_a_tensor_that_requires_grad():
    with refused(RuntimeError, "detach()"):
        torch.ones(3, requires_grad=True).numpy()


def test_requires_grad_of_an_intermediate_cannot_be_taken_back():
    y = torch.ones(3, requires_grad=True) * 2
    with refused(RuntimeError, "detach()"):
        y.requires_grad = False


# ---- modules


def test_linear_of_the_wrong_size_names_the_layer():
    with refused(RuntimeError, "(5, 3)", "Linear", "4"):
        nn.Linear(4, 2)(torch.ones(5, 3))


def test_two_layers_that_do_not_meet():
    net = nn.Sequential(nn.Linear(784, 500), nn.Linear(400, 10))
    with refused(RuntimeError, "(5, 500)", "Linear(784, 500)", "Linear(400, 10)"):
        net(torch.ones(5, 784))


def test_convolution_of_the_wrong_channels():
    with refused(RuntimeError, "(1, 2, 8, 8)", "3"):
        nn.Conv2d(3, 4, 3)(torch.ones(1, 2, 8, 8))
    with refused(RuntimeError, "(3, 3)"):
        nn.Conv2d(3, 4, 3)(torch.ones(3, 3))


def test_batch_norm_of_the_wrong_rank_and_size():
    with refused(ValueError, "(2, 3)"):
        nn.BatchNorm2d(3)(torch.ones(2, 3))
    with refused(RuntimeError, "4", "3"):
        nn.BatchNorm1d(3)(torch.ones(2, 4))


def test_layer_norm_of_the_wrong_size():
    with refused(RuntimeError, "(*, 4)", "(2, 3)"):
        nn.LayerNorm(4)(torch.ones(2, 3))


def test_lstm_of_the_wrong_size():
    with refused(RuntimeError, "3", "4"):
        nn.LSTM(3, 5)(torch.ones(7, 2, 4))


def test_embedding_outside_of_its_table():
    table = nn.Embedding(10, 3)
    with refused(IndexError, "10"):
        table(torch.tensor([1, 10])).tolist()
    with refused(IndexError, "-1"):
        table(torch.tensor([-1])).tolist()


def test_labels_out_of_range_name_the_value_and_the_range():
    logits = torch.zeros(2, 3, requires_grad=True)
    for value in (3, -1):
        with refused(IndexError, f"{value}", "0", "2"):
            F.cross_entropy(logits, torch.tensor([0, value])).backward()
    assert logits.grad is None
    assert F.cross_entropy(logits, torch.tensor([0, -100])).item() == pytest.approx(math.log(3))


def test_labels_that_do_not_fit_the_logits():
    with refused(ValueError, "(2, 3)", "(4,)"):
        F.cross_entropy(torch.zeros(2, 3), torch.zeros(4, dtype=torch.long))
    with refused(RuntimeError, "float32"):
        F.cross_entropy(torch.zeros(2, 3), torch.zeros(2))


def test_probabilities_out_of_range():
    with refused(RuntimeError, "1.5", "0", "1"):
        F.binary_cross_entropy(torch.tensor([0.5, 1.5]), torch.tensor([0.0, 1.0])).item()
    with refused(ValueError, "1.5"):
        nn.Dropout(1.5)


# ---- state


def test_state_dict_with_wrong_keys_loads_nothing():
    net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    before = {k: v.tolist() for k, v in net.state_dict().items()}
    state = {k: v + 1 for k, v in net.state_dict().items()}
    state["2.weight"] = state.pop("1.weight")
    with refused(RuntimeError, "1.weight", "2.weight"):
        net.load_state_dict(state)
    assert {k: v.tolist() for k, v in net.state_dict().items()} == before
    report = net.load_state_dict(net.state_dict() | {"2.weight": torch.ones(1)}, strict=False)
    assert report.unexpected_keys == ["2.weight"] and report.missing_keys == []


def test_state_dict_with_wrong_shapes_loads_nothing():
    net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    before = {k: v.tolist() for k, v in net.state_dict().items()}
    state = {k: v + 1 for k, v in net.state_dict().items()}
    state["1.weight"] = torch.ones(3, 3)
    with refused(RuntimeError, "1.weight", "(3, 3)", "(1, 3)"):
        net.load_state_dict(state)
    assert {k: v.tolist() for k, v in net.state_dict().items()} == before


def test_optimizer_state_of_another_model():
    one = torch.optim.Adam(nn.Linear(2, 3).parameters())
    two = torch.optim.Adam([torch.ones(2, requires_grad=True)])
    with refused(ValueError, "2", "1"):
        two.load_state_dict(one.state_dict())


def test_optimizer_arguments():
    w = torch.ones(2, requires_grad=True)
    with refused(ValueError, "-1"):
        torch.optim.SGD([w], lr=-1)
    with refused(ValueError, "parameter"):
        torch.optim.SGD([], lr=0.1)
    with refused(ValueError, "leaf"):
        torch.optim.SGD([w * 2], lr=0.1)


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "net.pt"
    torch.save({"net": nn.Linear(20, 30).state_dict(), "epoch": 3}, path)
    return path


def test_a_file_cut_at_any_place(saved):
    whole = saved.read_bytes()
    for size in {0, 1, 7, 8, 9, len(whole) // 2, len(whole) - 1}:
        saved.write_bytes(whole[:size])
        with refused(RuntimeError, "net.pt"):
            torch.load(saved)


def test_a_file_with_a_damaged_header(saved):
    whole = bytearray(saved.read_bytes())
    for position in (0, 7, 8, 12, 40):
        damaged = bytearray(whole)
        damaged[position] ^= 0xFF
        saved.write_bytes(damaged)
        with refused(RuntimeError, "net.pt"):
            torch.load(saved)


def test_a_pickle_is_refused_with_a_reason(tmp_path):
    path = tmp_path / "evil.pt"
    path.write_bytes(b"\x80\x04cos\nsystem\n(S'true'\ntR.")
    with refused(RuntimeError, "pickle"):
        torch.load(path)


def test_a_file_that_does_not_exist(tmp_path):
    with pytest.raises(FileNotFoundError):
        torch.load(tmp_path / "nowhere.pt")


def test_what_cannot_be_saved_leaves_the_old_file(saved):
    before = saved.read_bytes()
    with refused((TypeError, RuntimeError), "function"):
        torch.save({"weights": torch.ones(3), "code": lambda: 0}, saved)
    assert saved.read_bytes() == before
    assert [p.name for p in saved.parent.iterdir()] == ["net.pt"]


# ---- values


def test_nan_in_the_data_is_not_hidden():
    x = torch.tensor([[1.0, math.nan]])
    net = nn.Linear(2, 2)
    loss = F.cross_entropy(torch.relu(net(x)), torch.tensor([0]))
    loss.backward()
    assert math.isnan(loss.item()) and repr(loss).startswith("tensor(nan")
    assert torch.isnan(net.weight.grad).any()
    assert math.isnan(x.max().item()) and math.isnan(x.sum().item())


def test_nan_is_found_where_it_is_made():
    x = torch.tensor([0.0, 4.0], requires_grad=True)
    with torch.autograd.detect_anomaly():
        loss = torch.sqrt(x).sum() * 0
        with pytest.raises(RuntimeError) as caught:
            loss.backward()
    assert "NaN" in str(caught.value) and "sqrt" in str(caught.value)


def test_multinomial_of_weights_that_are_no_distribution():
    for weights in ([-1.0, 2.0], [math.nan, 1.0], [math.inf, 1.0]):
        with refused(RuntimeError, "multinomial"):
            torch.multinomial(torch.tensor(weights), 1)


def test_arrays_that_cannot_become_tensors():
    with refused(TypeError, "object"):
        torch.from_numpy(np.array([object()]))
    with pytest.raises(ValueError):
        torch.tensor(["a"])


def test_pickling_is_refused_with_a_reason():

    with refused((TypeError, RuntimeError), "save"):
        pickle.dumps(torch.ones(2))


def test_a_missing_name_suggests_the_nearest():
    with pytest.raises(AttributeError, match="sigmiod.*sigmoid"):
        _ = torch.sigmiod
    with pytest.raises(AttributeError, match="Liner.*Linear"):
        _ = nn.Liner
    with pytest.raises(AttributeError, match="transpoze.*transpose"):
        _ = torch.ones(2).transpoze


def test_integers_are_not_divided_by_zero():
    seven, zero = torch.tensor([7, 8]), torch.tensor([1, 0])
    for divide in (lambda: seven // zero, lambda: seven % zero, lambda: torch.fmod(seven, 0)):
        with refused(RuntimeError, "ZeroDivisionError", "divisor 0"):
            divide().tolist()
    assert torch.isinf(torch.tensor([7.0]) // 0).item()


def test_differences_of_bool_are_refused():
    mask = torch.tensor([True, False])
    for subtract in (lambda: 1 - mask, lambda: mask - mask, lambda: mask - torch.ones(2)):
        with refused(RuntimeError, "torch.bool", "logical_not"):
            subtract()


def test_a_number_does_not_fit_into_bool():
    mask = torch.tensor([True, False])
    with refused(RuntimeError, "torch.int64 into torch.bool"):
        mask.add_(2)
