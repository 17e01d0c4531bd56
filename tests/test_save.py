"""Saving and loading: round trips bit for bit, atomic writing, damaged and foreign files."""

import collections
import io
import json
import math
import os
import pickle
import struct
import zipfile

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import chainrule as torch
import chainrule.nn.functional as F
from chainrule import nn
from chainrule.save import (
    CHECKSUM,
    KEY,
    NO_CHECKSUM,
    CheckpointError,
    _checksum,
    load,
    save,
)
from chainrule.shapes import Size


def to_bytes(value):
    file = io.BytesIO()
    save(value, file)
    return file.getvalue()


def again(value, **options):
    return load(io.BytesIO(to_bytes(value)), **options)


def first_line(error):
    return str(error.value).splitlines()[0]


def bits(t):
    return t.detach().numpy().tobytes()


def same(a, b):
    """Equal in type, order and every bit."""
    assert type(a) is type(b)
    if isinstance(a, torch.Tensor):
        assert a.dtype is b.dtype and a.shape == b.shape and bits(a) == bits(b)
        assert a.requires_grad is b.requires_grad
    elif isinstance(a, dict):
        for (key_a, value_a), (key_b, value_b) in zip(a.items(), b.items(), strict=True):
            same(key_a, key_b)
            same(value_a, value_b)
    elif isinstance(a, (list, tuple)) and not isinstance(a, Size):
        for part_a, part_b in zip(a, b, strict=True):
            same(part_a, part_b)
    elif isinstance(a, float):
        assert struct.pack("d", a) == struct.pack("d", b) or math.isnan(a) and math.isnan(b)
    else:
        assert a == b


# ---------------------------------------------------------------------- any nesting
DTYPES = (
    torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64,
    torch.float16, torch.bfloat16, torch.float32, torch.float64,
)  # fmt: skip
keys = st.one_of(st.text(max_size=5), st.integers(), st.booleans(), st.none(), st.floats(width=32))
plain = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9))
facts = st.sampled_from([torch.float32, torch.bfloat16, Size([2, 3]), Size([])])


@st.composite
def tensors(draw):
    """Any bit pattern in any dtype and shape."""
    dtype = draw(st.sampled_from(DTYPES))
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
    count = math.prod(shape) * dtype.itemsize
    data = draw(st.binary(min_size=count, max_size=count))
    if dtype is torch.bool:
        data = bytes(byte % 2 for byte in data)
    t = torch.as_tensor(np.frombuffer(data, dtype.np).reshape(shape))
    return t.requires_grad_() if dtype.is_floating_point and draw(st.booleans()) else t


def containers(inner):
    return st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(keys, inner, max_size=4),
        st.dictionaries(keys, inner, max_size=4).map(collections.OrderedDict),
    )


@settings(max_examples=150, deadline=None)
@given(st.recursive(st.one_of(plain, facts, tensors()), containers, max_leaves=12))
def test_round_trip(value):
    same(again(value), value)


def test_equal_values_give_equal_files():
    value = {"b": torch.arange(3), "a": [torch.ones(2), {3, 1, 2}, "x"]}
    assert to_bytes(value) == to_bytes(value)


def test_less_usual_values():
    counter = again(collections.Counter([3, 3, 5]))
    assert type(counter) is collections.Counter and counter == {3: 2, 5: 1}
    assert again({1, "a"}) == {1, "a"}
    assert again(torch.device("cpu")) == torch.device("cpu")
    assert again(10**40) == 10**40
    assert again("\ud800 \0 é") == "\ud800 \0 é"
    assert again({"\ud800": torch.ones(1)})["\ud800"].tolist() == [1.0]
    scalar = again(np.float64(0.1))
    assert type(scalar) is np.float64 and scalar == 0.1
    array = again(np.arange(6, dtype=np.uint16).reshape(2, 3))
    assert array.dtype == np.uint16 and array.tolist() == [[0, 1, 2], [3, 4, 5]]


def test_names_in_the_file_are_the_places():
    state = {"model": {"fc.weight": torch.ones(2)}, "losses": [torch.zeros(1)]}
    assert set(safetensors.numpy.load(to_bytes(state))) == {"model.fc.weight", "losses.0"}
    clash = {"a.b": torch.zeros(1), "a": {"b": torch.ones(1)}, "__metadata__": torch.ones(2)}
    same(again(clash), clash)


def test_a_transposed_tensor_and_a_pending_one():
    x = torch.arange(6).reshape(2, 3)
    same(again(x.T), x.T.clone())
    y = x * 2
    assert again(y).tolist() == [[0, 2, 4], [6, 8, 10]]


def test_a_tensor_with_history_is_loaded_as_a_leaf():
    w = torch.ones(2, requires_grad=True)
    t = again(w * 2)
    assert t.requires_grad and t.is_leaf and t.tolist() == [2.0, 2.0]


# ---------------------------------------------------------------------- sharing
def test_the_same_tensor_twice():
    t = torch.ones(1000)
    a, b = again([t, t])
    assert a is b
    assert len(to_bytes([t, t])) < 5000


def test_tied_weights_stay_tied():
    state = collections.OrderedDict(a=torch.ones(2))
    state["b"] = state["a"].detach()
    loaded = again(state)
    loaded["a"].zero_()
    assert loaded["b"].tolist() == [0.0, 0.0]
    state["a"].zero_()
    assert state["b"].tolist() == [0.0, 0.0]


def test_a_part_of_a_tensor_is_stored_on_its_own():
    t = torch.arange(4)
    whole, part = again([t, t[1:3]])
    whole.zero_()
    assert part.tolist() == [1, 2]


# ---------------------------------------------------------------------- models and optimizers
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(5, 4)
        self.layers = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Dropout(0.5))
        self.out = nn.Linear(4, 5, bias=False)
        self.out.weight = self.embed.weight
        self.register_buffer("count", torch.zeros(()), persistent=False)
        self.activation = F.gelu
        self.sizes = {"hidden": (4, 4), "scale": 0.5, "parent": None}

    def forward(self, x):
        return self.out(self.activation(self.layers(self.embed(x))))

    class Inner(nn.Module):
        pass


def test_a_whole_module(tmp_path):
    torch.manual_seed(0)
    net = Net().eval()
    net.sizes["self"] = [net.out]
    torch.save(net, tmp_path / "net.pt")
    loaded = torch.load(tmp_path / "net.pt")
    assert type(loaded) is Net and not loaded.training
    assert loaded.out.weight is loaded.embed.weight
    assert loaded.sizes["self"][0] is loaded.out and loaded.activation is F.gelu
    assert list(loaded.state_dict()) == list(net.state_dict())
    assert [name for name, _ in loaded.named_buffers()] == ["count"]
    x = torch.tensor([1, 4])
    assert bits(loaded(x)) == bits(net(x))
    loaded(x).sum().backward()
    assert loaded.embed.weight.grad is not None
    assert repr(loaded) == repr(net)


def test_loading_a_module_runs_no_constructor():
    class_calls = []
    data = to_bytes(Net())
    original, Net.__init__ = Net.__init__, lambda self: class_calls.append(self)
    try:
        assert load(io.BytesIO(data)).out.weight.shape == (5, 4)
    finally:
        Net.__init__ = original
    assert class_calls == []


def test_a_nested_class_and_a_parameter():
    assert type(again(Net.Inner())) is Net.Inner
    parameter = again(nn.Parameter(torch.ones(2), requires_grad=False))
    assert type(parameter) is nn.Parameter and not parameter.requires_grad
    buffer = again(nn.Buffer(torch.ones(2), persistent=False))
    assert type(buffer) is nn.Buffer and not buffer.persistent


def test_state_dicts():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    optimizer = torch.optim.Adam(net.parameters(), lr=0.1, betas=(0.8, 0.9))
    for _ in range(2):
        net(torch.randn(5, 3)).sum().backward()
        optimizer.step()
    checkpoint = {"net": net.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 2}
    loaded = again(checkpoint)
    assert type(loaded["net"]) is type(checkpoint["net"])
    same(loaded["optimizer"], checkpoint["optimizer"])
    other = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    other.load_state_dict(loaded["net"])
    resumed = torch.optim.Adam(other.parameters(), lr=9)
    resumed.load_state_dict(loaded["optimizer"])
    x = torch.randn(5, 3)
    for model, opt in ((net, optimizer), (other, resumed)):
        opt.zero_grad()
        model(x).sum().backward()
        opt.step()
    for a, b in zip(net.parameters(), other.parameters(), strict=True):
        assert bits(a) == bits(b)


# ---------------------------------------------------------------------- what cannot be saved
class Config:
    pass


@pytest.mark.parametrize(
    "value, place, kind",
    [
        ({"a": [1, {"b": Config()}]}, "a.1.b", "test_save.Config"),
        (lambda x: x, "the value itself", "builtins.function"),
        ([1j], "0", "builtins.complex"),
        ({"e": np.array(["text"])}, "e", "numpy.ndarray"),
        ({"f": np.array([object()])}, "f", "numpy.ndarray"),
        ((os.path.join,), "0", "builtins.function"),
        ([Config], "0", "builtins.type"),
    ],
)
def test_a_value_of_another_kind(value, place, kind):
    with pytest.raises(RuntimeError) as error:
        to_bytes(value)
    message = first_line(error)
    assert message.startswith(f"save requires tensors, modules and plain values, got {place}, of ")
    assert message.endswith(kind)


def test_an_attribute_that_cannot_be_saved():
    net = Net()
    net.layers[0].config = Config()
    with pytest.raises(RuntimeError, match=r"got layers\.0\.config, of type"):
        to_bytes(net)
    net = Net()
    net.register_forward_hook(lambda *args: None)
    with pytest.raises(RuntimeError, match=r"_forward_hooks"):
        to_bytes(net)


def test_a_class_inside_of_a_function():
    class Local(nn.Module):
        pass

    with pytest.raises(RuntimeError) as error:
        to_bytes({"net": Local()})
    assert "save requires classes and functions found under their own name, got " in str(
        error.value
    )
    assert "Local for net" in first_line(error)


def test_a_value_inside_itself():
    loop = [1]
    loop.append({"again": loop})
    with pytest.raises(RuntimeError) as error:
        to_bytes(loop)
    assert first_line(error) == "save requires values that end, got 1.again inside itself"


def test_nesting_without_end():
    deep = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(RuntimeError, match="save requires nesting less deep than"):
        to_bytes(deep)


# ---------------------------------------------------------------------- writing
def test_paths_and_files(tmp_path):
    for path in (tmp_path / "a.pt", str(tmp_path / "b.pt")):
        save({"x": torch.ones(1)}, path)
        assert load(path)["x"].item() == 1.0
    with open(tmp_path / "c.pt", "wb") as file:
        save(1.5, file)
    with open(tmp_path / "c.pt", "rb") as file:
        assert load(file) == 1.5
    assert sorted(os.listdir(tmp_path)) == ["a.pt", "b.pt", "c.pt"]


def test_what_is_no_file():
    with pytest.raises(TypeError) as error:
        save(1, 3)
    assert first_line(error) == "save requires a path or a binary file, got int"
    with pytest.raises(TypeError) as error:
        load(3)
    assert first_line(error) == "load requires a path or a binary file, got int"
    with pytest.raises(TypeError) as error:
        load(io.StringIO("text"))
    assert first_line(error) == "load requires a file opened in binary mode, got one of text"
    with pytest.raises(FileNotFoundError):
        load("no such file")


def test_a_folder_that_does_not_exist(tmp_path):
    path = str(tmp_path / "none" / "a.pt")
    with pytest.raises(RuntimeError) as error:
        save(1, path)
    assert first_line(error) == f"save requires a folder that exists, got {path!r}"


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_crash_leaves_the_old_file(tmp_path, monkeypatch, step):
    path = tmp_path / "a.pt"
    save("old", path)

    def crash(*args):
        raise OSError("the disk is full")

    monkeypatch.setattr(os, step, crash)
    with pytest.raises(OSError, match="the disk is full"):
        save("new", path)
    monkeypatch.undo()
    assert load(path) == "old"
    assert os.listdir(tmp_path) == ["a.pt"]


def test_an_unsaveable_value_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.pt"
    save("old", path)
    with pytest.raises(RuntimeError):
        save([Config()], path)
    assert load(path) == "old" and os.listdir(tmp_path) == ["a.pt"]


def test_the_file_is_on_the_disk_before_it_takes_its_place(tmp_path, monkeypatch):
    steps = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (steps.append("fsync"), fsync(fd)))
    monkeypatch.setattr(os, "replace", lambda a, b: (steps.append("replace"), replace(a, b)))
    save(1, tmp_path / "a.pt")
    assert steps[:2] == ["fsync", "replace"]


def test_mode_and_link_are_kept(tmp_path):
    path, link = tmp_path / "a.pt", tmp_path / "link.pt"
    save(1, path)
    os.chmod(path, 0o640)
    link.symlink_to(path)
    save(2, link)
    assert link.is_symlink() and load(path) == 2
    assert path.stat().st_mode & 0o777 == 0o640


# ---------------------------------------------------------------------- reading
SMALL = {"w": [1.0, 2.0], "n": 3}


def small():
    return to_bytes({"w": torch.tensor(SMALL["w"]), "n": 3})


def load_error(data, **options):
    with pytest.raises(RuntimeError) as error:
        load(io.BytesIO(data), **options)
    return first_line(error)


def test_cut_off_anywhere():
    data = small()
    for length in range(len(data)):
        message = load_error(data[:length])
        assert message.startswith(f"load requires a whole safetensors file, got {length} bytes")
    assert "that are not" in load_error(data + b"\0")


def test_every_flipped_bit_is_noticed():
    data = small()
    for position in range(len(data)):
        for bit in range(8):
            damaged = bytearray(data)
            damaged[position] ^= 1 << bit
            assert load_error(bytes(damaged)).startswith("load requires ")


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_other_bytes(data):
    assert load_error(data).startswith("load requires ")


def test_the_error_names_the_file(tmp_path):
    path = tmp_path / "weights.pt"
    path.write_bytes(small()[:-1])
    with pytest.raises(CheckpointError) as error:
        load(path)
    assert first_line(error).endswith(" in weights.pt")
    assert "hint: the file is damaged, cut off, or was never a checkpoint" in str(error.value)


def test_a_wrong_checksum():
    data = bytearray(small())
    data[-1] ^= 1
    assert load_error(bytes(data)) == (
        f"load requires a whole safetensors file, got {len(data)} bytes with a wrong checksum "
        "in the file"
    )


def test_a_pickle_is_refused_and_not_run():
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("the pickle was run",))

    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("archive/data.pkl", pickle.dumps(Bomb()))
    for data in (archive.getvalue(), pickle.dumps(Bomb(), 2)):
        assert load_error(data) == (
            "load requires a file of chainrule's save or of safetensors, got a pickle in the "
            "file; chainrule never unpickles, because a pickle can run any code"
        )
    with pytest.raises(RuntimeError, match="hint: convert it once in PyTorch: "):
        load(io.BytesIO(archive.getvalue()))


def with_structure(root, version=1, tensors=None):
    """A file with a right checksum and any structure."""
    text = json.dumps(
        {"version": version, "crc32": NO_CHECKSUM, "root": root}, separators=(",", ":")
    )
    data = bytearray(safetensors.numpy.save(tensors or {}, {KEY: text}))
    field = CHECKSUM.search(data)
    data[slice(*field.span(1))] = b"%08x" % _checksum(data, field)
    return bytes(data)


def test_a_newer_version():
    assert load_error(with_structure(None, version=2)) == (
        "load requires a file of version 1 or older, got version 2 in the file"
    )


@pytest.mark.parametrize(
    "root",
    [
        {"bogus": 1},
        {"tensor": {"name": "none", "grad": False}},
        {"tensor": 3},
        {"same": 0},
        {"dict": [[1]]},
        {"dict": [[[], 1]]},
        {},
        {"tuple": 1, "list": 2},
        {"size": "x"},
        {"module": {"class": 3, "attributes": []}},
    ],
)
def test_a_structure_that_makes_no_sense(root):
    message = load_error(with_structure(root))
    assert "got a structure that makes no sense (" in message


def test_nothing_but_modules_and_own_functions_is_looked_up():
    for name in (
        "os:system",
        "subprocess:Popen",
        "chainrule.save:save",
        "nowhere:x",
        "builtins:eval",
    ):
        assert load_error(with_structure({"function": name})) == (
            f"load requires functions of chainrule's, got {name} in the file"
        )
        assert load_error(with_structure({"module": {"class": name, "attributes": []}})) == (
            f"load requires a subclass of nn.Module that the program has defined, got {name} in "
            "the file"
        )


def test_weights_only_refuses_modules():
    data = to_bytes({"net": nn.Linear(1, 1)})
    assert load_error(data, weights_only=True) == (
        "load requires tensors and plain values with weights_only=True, "
        "got the module chainrule.nn.linear:Linear in the file"
    )
    assert load(io.BytesIO(small()), weights_only=True)["n"] == 3


def test_map_location():
    data = small()
    for location in ("cpu", torch.device("cpu"), None, lambda storage, place: storage, {}):
        assert load(io.BytesIO(data), map_location=location)["n"] == 3
    with pytest.raises(RuntimeError, match="require the device cpu, got cuda:0"):
        load(io.BytesIO(data), map_location="cuda:0")


def test_a_plain_safetensors_file():
    arrays = {"b": np.arange(3, dtype=np.float32), "a": np.ones((2, 0), np.int64)}
    loaded = load(io.BytesIO(safetensors.numpy.save(arrays, {"format": "pt"})))
    assert set(loaded) == {"a", "b"} and loaded["b"].tolist() == [0.0, 1.0, 2.0]
    assert loaded["a"].shape == (2, 0) and loaded["a"].dtype is torch.int64


def test_an_unknown_dtype():
    message = load_error(safetensors.numpy.save({"c": np.ones(1, np.complex64)}))
    assert message.startswith("load requires the dtypes BOOL, U8, ")
    assert message.endswith(", got C64")
