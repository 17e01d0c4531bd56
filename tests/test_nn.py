"""Layers: what they refuse and in which words; a wrong size names both layers (row D10)."""

import math
import warnings

import pytest

import chainrule as torch
from chainrule import nn


def refusal(kind, call):
    with pytest.raises(kind) as caught:
        call()
    return str(caught.value)


# ---- D10: the error names both layers and both shapes


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(784, 500)
        self.act = nn.Sigmoid()
        self.fc2 = nn.Linear(400, 10)

    def forward(self, x):
        return self.fc2(self.act(self.fc1(x)) * 2)


def test_d10_two_layers_that_do_not_meet():
    text = refusal(RuntimeError, lambda: Net()(torch.ones(5, 784)))
    first, place, hint = text.split("\n")
    assert first == (
        "Linear requires input.shape[-1] == in_features, got input (5, 500) from "
        "Net.fc1: Linear(784, 500) into Net.fc2: Linear(400, 10)"
    )
    assert place.startswith("  recorded at test_nn.py:") and place.endswith(", in Net.fc2")
    assert hint == "  hint: this input fits Linear(in_features=500, ...)"


def test_d10_in_a_sequential():
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(100, 10))
    text = refusal(RuntimeError, lambda: net(torch.ones(2, 1, 8, 8)))
    assert text.startswith(
        "Linear requires input.shape[-1] == in_features, got input (2, 144) from "
        "Sequential.0: Conv2d(1, 4, (3, 3), (1, 1)) into Sequential.3: Linear(100, 10)"
    )


def test_d10_without_a_layer_before():
    text = refusal(RuntimeError, lambda: Net()(torch.ones(5, 28, 28)))
    assert "got input (5, 28, 28) into Net.fc1: Linear(784, 500)" in text
    assert text.endswith("hint: flatten the input first: x.flatten(1)")
    assert "got input () into" in refusal(RuntimeError, lambda: Net()(torch.tensor(1.0)))


def test_d10_between_two_modules_called_apart():
    encoder, decoder = nn.Sequential(nn.Linear(3, 4)), nn.Sequential(nn.Linear(5, 6))
    hidden = encoder(torch.ones(2, 3))
    text = refusal(RuntimeError, lambda: decoder(hidden))
    # The encoder's call is over: its path is known, the module is not.
    assert "got input (2, 4) from Sequential.0 into Sequential.0: Linear(5, 6)" in text


def test_other_errors_inside_of_a_module_stay_what_they_are():
    class Adds(nn.Module):
        def forward(self, x):
            return x + torch.ones(7)

    text = refusal(RuntimeError, lambda: nn.Sequential(nn.Linear(2, 3), Adds())(torch.ones(1, 2)))
    assert text.startswith("add requires shapes that broadcast together")


WRONG_SIZES = [
    (lambda: nn.Conv2d(3, 4, 3), [(1, 2, 8, 8)], "input.shape[-3] == in_channels"),
    (lambda: nn.Conv2d(3, 4, 3), [(3, 3)], "input (N, C, H x W) or (C, H x W)"),
    (lambda: nn.ConvTranspose2d(3, 4, 3), [(1, 2, 8, 8)], "input.shape[-3] == in_channels"),
    (lambda: nn.BatchNorm1d(3), [(2, 4)], "input.shape[1] == num_features"),
    (lambda: nn.BatchNorm1d(1), [(2, 4)], "input.shape[1] == num_features"),
    (lambda: nn.LayerNorm((2, 4)), [(5, 2, 3)], "input (*, 2, 4)"),
    (lambda: nn.RMSNorm(4), [(2, 3)], "input (*, 4)"),
    (lambda: nn.GroupNorm(2, 4), [(1, 6)], "input.shape[1] == num_channels"),
    (lambda: nn.Bilinear(2, 3, 4), [(5, 2), (5, 9)], "inputs with last axes (2, 3)"),
    (lambda: nn.LSTM(3, 4), [(5, 2, 9)], "input.shape[-1] == input_size"),
    (lambda: nn.GRUCell(3, 4), [(5, 9)], "input.shape[-1] == input_size"),
    (
        lambda: nn.MultiheadAttention(4, 2),
        [(5, 2, 4), (5, 2, 9), (5, 2, 9)],
        "query, key and value with last axes (4, 4, 4)",
    ),
]


@pytest.mark.parametrize("build, shapes, rule", WRONG_SIZES)
def test_wrong_sizes_name_the_layer_and_its_rule(build, shapes, rule):
    layer = build()
    text = refusal(RuntimeError, lambda: layer(*(torch.ones(s) for s in shapes)))
    name = type(layer).__name__
    assert text.startswith(f"{name} requires {rule}, got input {shapes[0]} into {name}: {name}(")


WRONG_CALLS = [
    (ValueError, lambda: nn.BatchNorm2d(3), (2, 3), "BatchNorm2d requires 4D input, got (2, 3)"),
    (ValueError, lambda: nn.BatchNorm1d(2), (1, 2, 3, 4), "requires 2D or 3D input, got"),
    (ValueError, lambda: nn.BatchNorm1d(2), (1, 2), "more than 1 value per channel"),
    (ValueError, lambda: nn.InstanceNorm1d(2), (1, 2, 3, 4), "InstanceNorm1d requires 2D or 3D"),
    (ValueError, lambda: nn.Softmax2d(), (2, 3), "Softmax2d requires 3D or 4D input, got (2, 3)"),
    (ValueError, lambda: nn.LSTM(2, 3), (2, 3, 4, 2), "LSTM requires 2D or 3D input, got"),
    (ValueError, lambda: nn.GRUCell(2, 3), (2, 3, 2), "GRUCell requires 1D or 2D input, got"),
]


@pytest.mark.parametrize("kind, build, shape, text", WRONG_CALLS)
def test_inputs_that_are_refused(kind, build, shape, text):
    layer = build()
    assert text in refusal(kind, lambda: layer(torch.ones(shape)))


WRONG_SETTINGS = [
    (lambda: nn.Bilinear(0, 1, 1), "Bilinear requires in1_features > 0, got 0"),
    (lambda: nn.Conv2d(4, 4, 3, groups=0), "Conv2d requires groups >= 1, got 0"),
    (lambda: nn.Conv2d(3, 4, 3, groups=2), "in_channels and out_channels divisible by groups"),
    (lambda: nn.Conv2d(3, 4, 3, padding="x"), "integers, 'valid' or 'same', got 'x'"),
    (lambda: nn.Conv2d(3, 4, 3, 2, "same"), "requires stride 1 for padding='same', got (2, 2)"),
    (lambda: nn.Conv2d(3, 4, 3, padding_mode="x"), "Conv2d requires padding_mode in ('zeros'"),
    (lambda: nn.ConvTranspose2d(3, 4, 3, padding="same"), "padding as integers, got 'same'"),
    (
        lambda: nn.ConvTranspose2d(3, 4, 3, padding_mode="reflect"),
        "ConvTranspose2d requires padding_mode in ('zeros',), got 'reflect'",
    ),
    (
        lambda: nn.ConvTranspose1d(1, 1, 3, stride=2)(torch.ones(1, 1, 4), output_size=(20,)),
        "ConvTranspose1d requires output_size in [9, 10] on spatial axis 0, got 20",
    ),
    (lambda: nn.GroupNorm(3, 4), "num_channels divisible by num_groups, got 4 and 3"),
    (lambda: nn.Embedding(4, 2, padding_idx=4), "requires padding_idx in [-4, 4), got 4"),
    (lambda: nn.Dropout(1.5), "Dropout requires p in [0, 1], got 1.5"),
    (lambda: nn.Hardtanh(2, 1), "Hardtanh requires min_val < max_val, got 2 and 1"),
    (lambda: nn.RNN(2, 3, nonlinearity="x"), "RNN requires nonlinearity tanh or relu, got 'x'"),
    (lambda: nn.RNNCell(2, 3, nonlinearity="x")(torch.ones(1, 2)), "RNNCell requires nonlinear"),
    (lambda: nn.LSTM(2, 0), "LSTM requires hidden_size > 0, got 0"),
    (lambda: nn.LSTM(2, 3, 0), "LSTM requires num_layers > 0, got 0"),
    (lambda: nn.LSTM(2, 3, dropout=2), "LSTM requires dropout in [0, 1], got 2"),
    (lambda: nn.GRU(2, 3, proj_size=1), "GRU requires proj_size 0, got 1"),
    (lambda: nn.LSTM(2, 3, proj_size=3), "LSTM requires proj_size in [0, hidden_size), got 3"),
    (lambda: nn.MultiheadAttention(4, 3), "embed_dim divisible by num_heads, got 4 and 3"),
    (
        lambda: nn.TransformerEncoderLayer(4, 2, activation="x"),
        "TransformerEncoderLayer requires activation relu or gelu, got 'x'",
    ),
]


@pytest.mark.parametrize("build, text", WRONG_SETTINGS)
def test_settings_that_are_refused(build, text):
    assert text in refusal(ValueError, build)


def test_several_processes_are_refused():
    text = refusal(RuntimeError, lambda: nn.parallel.DistributedDataParallel(nn.Identity()))
    assert "DistributedDataParallel requires a process group, got none" in text


def test_types_that_are_refused():
    text = refusal(TypeError, lambda: nn.LSTM(2, 3.5))
    assert "LSTM requires hidden_size to be an int, got float" in text
    text = refusal(TypeError, lambda: nn.Unflatten(1, 3))
    assert "Unflatten requires unflattened_size to be a tuple of ints, got int" in text


def test_tables_that_are_refused():
    text = refusal(RuntimeError, lambda: nn.Embedding(2, 3, _weight=torch.ones(3, 2)))
    assert "Embedding requires weight (2, 3), got (3, 2)" in text
    text = refusal(RuntimeError, lambda: nn.Embedding.from_pretrained(torch.ones(3)))
    assert "Embedding.from_pretrained requires a table (rows, width), got (3,)" in text
    text = refusal(RuntimeError, lambda: nn.EmbeddingBag.from_pretrained(torch.ones(3)))
    assert "EmbeddingBag.from_pretrained requires a table (rows, width), got (3,)" in text


def test_states_that_are_refused():
    x = torch.ones(5, 2, 3)
    text = refusal(RuntimeError, lambda: nn.GRU(3, 4)(x, torch.ones(2, 4)))
    assert "GRU requires a state of (1, 2, 4), got (2, 4)" in text
    state = (torch.ones(1, 2, 4), torch.ones(1, 9, 4))
    text = refusal(RuntimeError, lambda: nn.LSTM(3, 4)(x, state))
    assert "LSTM requires a state of (1, 2, 4) and (1, 2, 4), got (1, 2, 4) and (1, 9, 4)" in text
    text = refusal(RuntimeError, lambda: nn.GRUCell(3, 4)(x[0], torch.ones(2, 5)))
    assert "GRUCell requires a state (2, 4), got (2, 5)" in text
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        nn.LSTM(2, 3, dropout=0.5)
    assert "LSTM drops between layers only" in str(told[0].message)
    assert told[0].filename == __file__
    text = refusal(RuntimeError, lambda: nn.Transformer(4, 2, 1, 1, 8)(x, x))
    assert "Transformer requires src and tgt with last axis 4, got (5, 2, 3)" in text


# ---- what a layer computes, where the mathematics says it outright


def test_linear_is_a_product_and_a_sum():
    layer = nn.Linear(2, 2)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
        layer.bias.copy_(torch.tensor([10.0, 20.0]))
    y = layer(torch.tensor([[1.0, 1.0]]))
    assert y.tolist() == [[13.0, 27.0]]
    y.sum().backward()
    assert layer.weight.grad.tolist() == [[1, 1], [1, 1]] and layer.bias.grad.tolist() == [1, 1]


def test_batch_norm_moves_its_averages_in_training_only():
    layer = nn.BatchNorm1d(1)
    x = torch.tensor([[1.0], [3.0]])
    layer(x)
    assert layer.running_mean.item() == pytest.approx(0.2)
    assert layer.running_var.item() == pytest.approx(0.9 + 0.1 * 2)
    assert layer.num_batches_tracked.item() == 1
    y = layer.eval()(x)
    assert y[0].item() == pytest.approx((1 - 0.2) / math.sqrt(1.1 + 1e-5))
    assert layer.num_batches_tracked.item() == 1
    layer.reset_running_stats()
    assert (layer.running_mean.item(), layer.running_var.item()) == (0, 1)


def test_batch_norm_without_momentum_averages_all_batches_and_computes_nothing():
    layer = nn.BatchNorm1d(1, momentum=None)
    for batch in ([[1.0], [3.0]], [[4.0], [8.0]], [[0.0], [2.0]]):
        layer(torch.tensor(batch))
    assert layer.num_batches_tracked.node.value is None
    assert layer.running_mean.item() == pytest.approx((2 + 6 + 1) / 3)
    assert layer.running_var.item() == pytest.approx((2 + 8 + 2) / 3)


def test_dropout_is_the_identity_in_evaluation():
    x = torch.ones(1000)
    layer = nn.Dropout(0.25)
    torch.manual_seed(0)
    y = layer(x)
    assert y[y != 0].tolist() == pytest.approx([4 / 3] * int((y != 0).sum()))
    assert 0.65 < (y != 0).float().mean().item() < 0.85
    assert layer.eval()(x).tolist() == x.tolist()


def test_one_cell_step_is_one_time_of_the_network():
    torch.manual_seed(0)
    for network, cell in ((nn.LSTM, nn.LSTMCell), (nn.GRU, nn.GRUCell), (nn.RNN, nn.RNNCell)):
        whole, step = network(3, 4), cell(3, 4)
        step.load_state_dict({k.removesuffix("_l0"): v for k, v in whole.state_dict().items()})
        x = torch.randn(5, 2, 3)
        state = None
        for t in range(5):
            state = step(x[t], state)
        last = state[0] if isinstance(state, tuple) else state
        assert torch.allclose(whole(x)[0][-1], last, atol=1e-6)


def test_attention_without_a_mask_averages_equal_values():
    torch.manual_seed(0)
    attention = nn.MultiheadAttention(4, 2)
    key = torch.ones(3, 1, 4)
    output, weights = attention(torch.randn(2, 1, 4), key, key)
    assert torch.allclose(weights, torch.full((1, 2, 3), 1 / 3))
    assert torch.allclose(output[0], output[1], atol=1e-6)


def test_every_layer_is_found_under_pytorchs_file_names():
    assert nn.modules.batchnorm.BatchNorm2d is nn.BatchNorm2d
    assert nn.modules.activation.MultiheadAttention is nn.MultiheadAttention
    assert nn.modules.Linear is nn.Linear
    assert isinstance(nn.BatchNorm1d(2), nn.modules.batchnorm._BatchNorm)
    with pytest.raises(AttributeError, match="'torch.nn' has no .* 'Liner'; .* is 'Linear'"):
        _ = nn.modules.Liner
    with pytest.raises(AttributeError, match="'sigmiod'; the nearest name is 'sigmoid'"):
        _ = nn.functional.sigmiod
    assert all(getattr(nn, name) is not None for name in nn.__all__)
