"""Every layer and every loss against PyTorch: text, names, starting values, values, gradients."""

import warnings

import numpy as np
import pytest

import chainrule

torch = pytest.importorskip("torch")
LIBRARIES = (chainrule, torch)

# A layer and the shapes of its inputs; "ids" is an index tensor of shape (2, 3).
LAYERS = {
    "Identity()": [(2, 3)],
    "Flatten()": [(2, 3, 4)],
    "Flatten(0, 1)": [(2, 3, 4)],
    "Unflatten(1, (2, 3))": [(2, 6)],
    "Linear(3, 4)": [(2, 3)],
    "Linear(3, 4, bias=False)": [(5, 2, 3)],
    "Linear(3, 4, dtype=torch.float64)": None,
    "Bilinear(2, 3, 4)": [(5, 2), (5, 3)],
    "Bilinear(2, 3, 4, bias=False)": [(5, 2), (5, 3)],
    "Conv1d(4, 6, 3, 2, 1, 2, 2)": [(2, 4, 11)],
    "Conv1d(2, 3, 3, padding=1, padding_mode='circular')": [(2, 2, 7)],
    "Conv2d(3, 4, 3)": [(2, 3, 7, 6)],
    "Conv2d(3, 4, (3, 5), stride=(2, 1), padding=(1, 2), bias=False)": [(2, 3, 7, 6)],
    "Conv2d(4, 8, 3, padding='same', groups=4, dilation=2)": [(2, 4, 6, 6)],
    "Conv2d(2, 2, 4, padding='same', padding_mode='replicate')": [(1, 2, 6, 6)],
    "Conv2d(2, 3, 3, padding=1, padding_mode='reflect')": [(2, 6, 5)],
    "Conv3d(2, 3, 2)": [(1, 2, 4, 4, 4)],
    "ConvTranspose1d(2, 3, 3, stride=2)": [(2, 2, 5)],
    "ConvTranspose2d(4, 6, 3, 2, 1, 1, 2, dilation=2)": [(2, 4, 5, 4)],
    "ConvTranspose2d(2, 3, 2, stride=2, bias=False)": [(2, 2, 3, 3)],
    "MaxPool1d(2, 2, 1)": [(2, 3, 9)],
    "MaxPool2d(2)": [(2, 3, 6, 5)],
    "MaxPool2d((2, 3), 1, 1, 2, ceil_mode=True)": [(2, 3, 9, 9)],
    "AvgPool1d(2)": [(2, 3, 9)],
    "AvgPool2d(3, 2, 1)": [(2, 3, 6, 5)],
    "AvgPool2d(3, 2, 1, True, False)": [(2, 3, 6, 5)],
    "AdaptiveAvgPool1d(3)": [(2, 3, 7)],
    "AdaptiveAvgPool2d((None, 3))": [(2, 3, 5, 7)],
    "AdaptiveAvgPool2d(1)": [(2, 3, 5, 7)],
    "AdaptiveMaxPool2d(2)": [(2, 3, 5, 7)],
    "BatchNorm1d(3)": [(5, 3)],
    "BatchNorm1d(3, momentum=None)": [(5, 3, 4)],
    "BatchNorm2d(3)": [(4, 3, 5, 5)],
    "BatchNorm2d(3, affine=False, track_running_stats=False)": [(4, 3, 5, 5)],
    "BatchNorm2d(3, bias=False, eps=0.1)": [(4, 3, 5, 5)],
    "BatchNorm3d(2)": [(3, 2, 2, 3, 2)],
    "LayerNorm(4)": [(2, 3, 4)],
    "LayerNorm((3, 4), bias=False)": [(2, 3, 4)],
    "LayerNorm(4, 0.1, False)": [(2, 3, 4)],
    "GroupNorm(2, 4)": [(3, 4, 5)],
    "GroupNorm(2, 4, affine=False)": [(3, 4, 5, 2)],
    "RMSNorm(4)": [(2, 3, 4)],
    "RMSNorm((3, 4), 0.1, False)": [(2, 3, 4)],
    "InstanceNorm1d(3, affine=True)": [(2, 3, 6)],
    "InstanceNorm2d(3)": [(2, 3, 4, 4)],
    "InstanceNorm2d(3, affine=True, track_running_stats=True)": [(2, 3, 4, 4)],
    "LocalResponseNorm(2)": [(2, 4, 3, 3)],
    "Embedding(7, 3)": ["ids"],
    "Embedding(7, 3, padding_idx=-1, max_norm=1.0)": ["ids"],
    "Embedding(7, 3, 2, 1.5, 1.0, True, dtype=torch.float64)": None,
    "Dropout(0.3)": [(4, 5)],
    "Dropout1d(0.5)": [(4, 5, 3)],
    "Dropout2d(0.5)": [(4, 5, 2, 2)],
    "AlphaDropout(0.3)": [(4, 5)],
    "RNN(3, 4)": [(5, 2, 3)],
    "RNN(3, 4, 2, 'relu', batch_first=True, dropout=0.4)": [(2, 5, 3)],
    "LSTM(3, 4)": [(5, 2, 3)],
    "LSTM(3, 4, 2, bidirectional=True, batch_first=True)": [(2, 5, 3)],
    "LSTM(3, 4, 2, bias=False, dropout=0.5)": [(5, 2, 3)],
    "LSTM(3, 4, 2, proj_size=2, bidirectional=True)": [(5, 2, 3)],
    "LSTM(3, 4, bidirectional=True, num_layers=2, dropout=0.2)": [(5, 3)],
    "GRU(3, 4)": [(5, 2, 3)],
    "GRU(3, 4, 2, bidirectional=True)": [(5, 2, 3)],
    "GRU(3, 4, bias=False, batch_first=True)": [(5, 3)],
    "RNNCell(3, 4)": [(2, 3)],
    "RNNCell(3, 4, False, 'relu')": [(2, 3), (2, 4)],
    "LSTMCell(3, 4)": [(3,)],
    "LSTMCell(3, 4, bias=False)": [(2, 3)],
    "GRUCell(3, 4)": [(2, 3), (2, 4)],
    "GRUCell(3, 4, bias=False)": [(3,), (4,)],
    "MultiheadAttention(4, 2)": [(5, 2, 4), (3, 2, 4), (3, 2, 4)],
    "MultiheadAttention(4, 2, kdim=3, vdim=5, bias=False)": [(5, 2, 4), (3, 2, 3), (3, 2, 5)],
    "MultiheadAttention(4, 2, 0.3, add_bias_kv=True, add_zero_attn=True, batch_first=True)": [
        (2, 5, 4), (2, 3, 4), (2, 3, 4)
    ],
    "MultiheadAttention(4, 4)": [(5, 4), (3, 4), (3, 4)],
    "TransformerEncoderLayer(4, 2, 8)": [(5, 2, 4)],
    "TransformerEncoderLayer(4, 2, 8, 0.0, 'gelu', norm_first=True, batch_first=True)": [(5, 2, 4)],
    "TransformerEncoderLayer(4, 2, 8, activation=nn.SiLU(), bias=False)": [(5, 2, 4)],
    "TransformerDecoderLayer(4, 2, 8)": [(5, 2, 4), (3, 2, 4)],
    "TransformerEncoder(nn.TransformerEncoderLayer(4, 2, 8, 0), 2, nn.LayerNorm(4))": [(5, 2, 4)],
    "TransformerDecoder(nn.TransformerDecoderLayer(4, 2, 8, 0.2), 2)": [(5, 2, 4), (3, 2, 4)],
    "Transformer(4, 2, 1, 2, 8, 0)": [(5, 2, 4), (3, 2, 4)],
    "Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 2))": [(2, 3)],
    "Upsample(scale_factor=2)": [(1, 2, 3, 3)],
    "Upsample((5, 4), mode='bilinear')": [(1, 2, 3, 3)],
    "UpsamplingNearest2d(scale_factor=2)": [(1, 2, 3, 3)],
    "UpsamplingBilinear2d((6, 5))": [(1, 2, 3, 3)],
    "PixelShuffle(2)": [(2, 8, 3, 3)],
    "PixelUnshuffle(2)": [(2, 2, 4, 4)],
    "ZeroPad1d(1)": [(2, 3)],
    "ZeroPad2d((1, 2, 0, 3))": [(2, 3, 3)],
    "ConstantPad1d(1, 2.5)": [(2, 3)],
    "ConstantPad2d(1, 2.5)": [(2, 3, 3)],
    "ReflectionPad1d(2)": [(2, 3, 4)],
    "ReflectionPad2d(2)": [(2, 3, 4, 4)],
    "ReplicationPad1d(2)": [(2, 3, 4)],
    "ReplicationPad2d((1, 0, 2, 0))": [(2, 3, 4, 4)],
    "CircularPad1d(2)": [(2, 3, 4)],
    "CircularPad2d((1, 0, 2, 0))": [(2, 3, 4, 4)],
    "Unfold(2, padding=1)": [(2, 3, 4, 4)],
    "CosineSimilarity()": [(2, 3), (2, 3)],
    "PairwiseDistance()": [(2, 3), (2, 3)],
    "PReLU()": [(2, 3)],
    "PReLU(3, 0.1)": [(2, 3, 4)],
    "RReLU()": None,
    **dict.fromkeys(
        (
            "ReLU()", "ReLU6()", "LeakyReLU()", "LeakyReLU(0.3)", "ELU()", "ELU(2.0)", "SELU()",
            "CELU()", "CELU(2.0)", "GELU()", "GELU('tanh')", "SiLU()", "Mish()", "Softplus()",
            "Softplus(2.0, 0.5)", "Softsign()", "Sigmoid()", "LogSigmoid()", "Hardtanh()",
            "Hardtanh(-0.5, 0.2)", "Hardsigmoid()", "Hardswish()", "Tanh()", "Tanhshrink()",
            "Softmax(1)", "LogSoftmax(-1)", "Softmin(0)", "Threshold(0.1, 20)", "GLU(0)",
            "Softshrink()", "Hardshrink(0.3)", "Softmax2d()",
        ),
        [(4, 5, 3)],
    ),
    **dict.fromkeys(
        (
            "ReLU(True)", "ReLU6(True)", "LeakyReLU(0.1, True)", "ELU(inplace=True)", "SELU(True)",
            "CELU(1.0, True)", "SiLU(True)", "Mish(True)", "Hardtanh(-2, 2, True)", "Dropout(0.2)",
            "Hardsigmoid(True)", "Hardswish(True)", "Threshold(0.1, 20, True)", "Softmax()",
            "GLU()", "Dropout3d(0.5)",
        ),
        None,
    ),
}  # fmt: skip

REAL, CLASS, UNIT, SIGN = (4, 3), "classes", "unit", "signs"
# A loss and its arguments.
LOSSES = {
    "MSELoss()": [REAL, REAL],
    "MSELoss(reduction='sum')": [REAL, REAL],
    "MSELoss(size_average=False)": [REAL, REAL],
    "L1Loss(reduce=False)": [REAL, REAL],
    "SmoothL1Loss(beta=0.5)": [REAL, REAL],
    "HuberLoss('none', 0.3)": [REAL, REAL],
    "CrossEntropyLoss()": [REAL, CLASS],
    "CrossEntropyLoss(torch.tensor([0.2, 1.0, 3.0]), label_smoothing=0.1)": [REAL, CLASS],
    "CrossEntropyLoss(ignore_index=1, reduction='sum')": [REAL, CLASS],
    "CrossEntropyLoss(ignore_index=1, reduction='none')": [REAL, CLASS],
    "CrossEntropyLoss(label_smoothing=0.2)": [REAL, UNIT],
    "NLLLoss(torch.tensor([0.2, 1.0, 3.0]))": [REAL, CLASS],
    "NLLLoss(ignore_index=2, reduction='none')": [REAL, CLASS],
    "BCELoss()": [UNIT, UNIT],
    "BCELoss(torch.tensor([0.2, 1.0, 3.0]), reduction='sum')": [UNIT, UNIT],
    "BCEWithLogitsLoss()": [REAL, UNIT],
    "BCEWithLogitsLoss(pos_weight=torch.tensor([0.2, 1.0, 3.0]))": [REAL, UNIT],
    "BCEWithLogitsLoss(torch.tensor([0.2, 1.0, 3.0]), reduction='none')": [REAL, UNIT],
    "KLDivLoss(reduction='batchmean')": [REAL, UNIT],
    "KLDivLoss(reduction='sum', log_target=True)": [REAL, REAL],
    "PoissonNLLLoss(full=True)": [REAL, UNIT],
    "PoissonNLLLoss(False)": [UNIT, UNIT],
    "GaussianNLLLoss(full=True)": [REAL, REAL, UNIT],
    "SoftMarginLoss()": [REAL, SIGN],
    "HingeEmbeddingLoss()": [REAL, SIGN],
    "MarginRankingLoss(0.5)": [(4,), (4,), "sign"],
    "CosineEmbeddingLoss(0.1)": [REAL, REAL, "sign"],
    "TripletMarginLoss(swap=True)": [REAL, REAL, REAL],
}


def build(library, text):
    library.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return eval("nn." + text, {"nn": library.nn, "torch": library})


def arguments(shapes):
    rng = np.random.default_rng(0)
    make = {
        "ids": lambda: rng.integers(0, 7, (2, 3)),
        CLASS: lambda: np.array([0, 2, 1, 2]),
        UNIT: lambda: rng.uniform(0.05, 0.95, (4, 3)).astype(np.float32),
        SIGN: lambda: np.where(rng.uniform(size=(4, 3)) < 0.5, -1, 1).astype(np.float32),
        "sign": lambda: np.array([1, -1, -1, 1], np.float32),
    }
    return [
        make[s]() if isinstance(s, str) else rng.standard_normal(s).astype(np.float32)
        for s in shapes
    ]


def flat(result):
    """The tensors of a result, in order."""
    if isinstance(result, tuple | list):
        return [t for part in result for t in flat(part)]
    return [] if result is None else [result]


def outcome(library, module, arrays, differentiate=None):
    """Outputs, gradients of inputs and parameters, and buffers, after one call and one backward."""
    inputs = [library.tensor(a) for a in arrays]
    for i, x in enumerate(inputs):
        if x.is_floating_point() and (differentiate is None or i in differentiate):
            x.requires_grad_()
    library.manual_seed(1)
    module.zero_grad()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        outputs = flat(module(*inputs))
    weighted = [
        (y * library.tensor(np.cos(np.arange(y.numel())).astype(np.float32)).reshape(y.shape)).sum()
        for y in outputs
        if y.requires_grad
    ]
    if weighted:
        sum(weighted).backward()
    found = {f"output {i}": y for i, y in enumerate(outputs)}
    found |= {f"gradient of input {i}": x.grad for i, x in enumerate(inputs)}
    found |= {f"gradient of {name}": p.grad for name, p in module.named_parameters()}
    found |= {f"buffer {name}": b for name, b in module.named_buffers()}
    return {k: None if v is None else v.detach().numpy() for k, v in found.items()}


def assert_same(ours, theirs, tolerance=2e-5):
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        if value is None:
            assert ours[name] is None, name
            continue
        assert ours[name] is not None, name
        assert ours[name].shape == value.shape, name
        assert ours[name].dtype == value.dtype, name
        np.testing.assert_allclose(
            ours[name], value, rtol=tolerance, atol=tolerance, err_msg=name
        )


def state(module):
    return {name: value.numpy() for name, value in module.state_dict().items()}


@pytest.mark.parametrize("text", [*LAYERS, *LOSSES])
def test_text_and_starting_values(text):
    ours, theirs = (build(library, text) for library in LIBRARIES)
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert [n for n, _ in ours.named_modules()] == [n for n, _ in theirs.named_modules()]
    assert ours.state_dict()._metadata == theirs.state_dict()._metadata
    assert_same(state(ours), state(theirs), 1e-6)


@pytest.mark.parametrize("text", [text for text, shapes in LAYERS.items() if shapes])
def test_values_and_gradients(text):
    arrays = arguments(LAYERS[text])
    ours, theirs = (build(library, text) for library in LIBRARIES)
    ours.load_state_dict({k: chainrule.tensor(v) for k, v in state(theirs).items()})
    # Twice in training where an average runs over the batches.
    for training in (True, True, False) if "Norm" in text else (True, False):
        results = [
            outcome(library, module.train(training), arrays)
            for library, module in ((chainrule, ours), (torch, theirs))
        ]
        assert_same(*results)


@pytest.mark.parametrize("text", LOSSES)
def test_losses(text):
    arrays = arguments(LOSSES[text])
    only_first = (0,) if "Embedding" not in text else None
    results = [
        outcome(library, build(library, text), arrays, only_first) for library in LIBRARIES
    ]
    assert_same(*results)


def test_recurrent_networks_take_and_return_states():
    shapes = {"LSTM": [(5, 2, 3), (2, 2, 4), (2, 2, 4)], "GRU": [(5, 2, 3), (2, 2, 4)]}
    for name, wanted in shapes.items():
        results = []
        for library in LIBRARIES:
            net = build(library, f"{name}(3, 4, 2)")
            x, *states = (library.tensor(a) for a in arguments(wanted))
            output, final = net(x, tuple(states) if len(states) > 1 else states[0])
            results.append([t.detach().numpy() for t in flat([output, final])])
        for a, b in zip(*results):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    results = []
    for library in LIBRARIES:
        x, h, c = (library.tensor(a) for a in arguments([(5, 3), (1, 4), (1, 4)]))
        results.append([t.detach().numpy() for t in flat(build(library, "LSTM(3, 4)")(x, (h, c)))])
    for a, b in zip(*results):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("text", ["LSTM(3, 4, 2, bidirectional=True)", "GRU(3, 4)", "RNN(3, 4)"])
@pytest.mark.parametrize("sort", [True, False])
def test_packed_sequences(text, sort):
    lengths = [5, 3, 3, 1] if sort else [3, 5, 1, 3]
    results = []
    for library in LIBRARIES:
        net = build(library, text)
        tools = library.nn.utils.rnn
        x = library.tensor(arguments([(5, 4, 3)])[0])
        packed = tools.pack_padded_sequence(x, library.tensor(lengths), enforce_sorted=sort)
        output, final = net(packed)
        padded, sizes = tools.pad_packed_sequence(output)
        padded.sum().backward()
        found = [padded, sizes, *flat(final), *(p.grad for p in net.parameters())]
        results.append([t.detach().numpy() for t in found])
    for a, b in zip(*results):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def masks(library, kind):
    causal = library.ones(5, 5, dtype=library.bool).triu(1)
    padding = library.tensor([[False] * 5, [False, False, False, True, True]])
    return {
        "bool": {"attn_mask": causal},
        "float": {"attn_mask": library.zeros(5, 5).masked_fill(causal, float("-inf"))},
        "heads": {"attn_mask": causal.expand(4, 5, 5)},
        "padding": {"key_padding_mask": padding},
        "both": {"attn_mask": causal, "key_padding_mask": padding},
        "causal": {"attn_mask": causal, "is_causal": True},
    }[kind]


@pytest.mark.parametrize("kind", ["bool", "float", "heads", "padding", "both", "causal"])
@pytest.mark.parametrize("need_weights", [True, False])
def test_attention_masks(kind, need_weights):
    results = []
    for library in LIBRARIES:
        attention = build(library, "MultiheadAttention(4, 2)")
        x = library.tensor(arguments([(5, 2, 4)])[0])
        output, weights = attention(
            x, x, x, need_weights=need_weights, average_attn_weights=False, **masks(library, kind)
        )
        output.sum().backward()
        found = [output, attention.in_proj_weight.grad] + ([weights] if need_weights else [])
        assert (weights is not None) == need_weights
        results.append([t.detach().numpy() for t in found])
    for a, b in zip(*results):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_transformer_masks():
    results = []
    for library in LIBRARIES:
        model = build(library, "Transformer(4, 2, 1, 1, 8, 0)")
        src, tgt = (library.tensor(a) for a in arguments([(5, 2, 4), (5, 2, 4)]))
        mask = library.nn.Transformer.generate_square_subsequent_mask(5)
        padding = library.tensor([[0.0] * 5, [0.0, 0.0, 0.0, float("-inf"), float("-inf")]])
        y = model(src, tgt, tgt_mask=mask, src_key_padding_mask=padding, tgt_is_causal=True)
        results.append(y.detach().numpy())
    np.testing.assert_allclose(*results, rtol=1e-5, atol=1e-6)


def test_pretrained_embedding_and_its_padding_row():
    results = []
    for library in LIBRARIES:
        table = library.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
        layer = library.nn.Embedding.from_pretrained(table, freeze=False, padding_idx=1)
        layer(library.tensor([0, 1, 1, 2, 2])).sum().backward()
        results.append((repr(layer), layer.weight.grad.tolist(), layer.weight.tolist()))
    assert results[0] == results[1]
    frozen = chainrule.nn.Embedding.from_pretrained(chainrule.ones(2, 2))
    assert not frozen.weight.requires_grad


def test_transposed_convolution_to_a_given_size():
    results = []
    for library in LIBRARIES:
        layer = build(library, "ConvTranspose2d(2, 3, 3, stride=2, padding=1)")
        x = library.tensor(arguments([(1, 2, 6, 6)])[0])
        results.append(layer(x, output_size=(12, 11)).detach().numpy())
    np.testing.assert_allclose(*results, rtol=1e-5, atol=1e-6)


def test_pooling_returns_indices():
    for text in ("MaxPool2d(2, return_indices=True)", "AdaptiveMaxPool2d(2, True)"):
        results = []
        for library in LIBRARIES:
            x = library.tensor(arguments([(1, 2, 6, 6)])[0])
            results.append([t.tolist() for t in build(library, text)(x)])
        assert results[0] == results[1]
