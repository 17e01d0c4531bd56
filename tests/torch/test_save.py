"""Files go from PyTorch to chainrule and back through safetensors; pickles do not."""

import io

import numpy as np
import pytest

import chainrule

torch = pytest.importorskip("torch")
from safetensors.torch import load as torch_load  # noqa: E402
from safetensors.torch import save as torch_save  # noqa: E402

DTYPES = (
    "bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64",
)  # fmt: skip


def bytes_of(value, save):
    file = io.BytesIO()
    save(value, file)
    return file.getvalue()


def values(dtype):
    return [[0.0, 1.0, 0.5], [3.0, 7.25, 100.0]] if "float" in dtype else [[0, 1, 1], [1, 0, 1]]


@pytest.mark.parametrize("dtype", DTYPES)
def test_tensors_both_ways(dtype):
    theirs = {"x": torch.tensor(values(dtype), dtype=getattr(torch, dtype)), "s": torch.tensor(3.5)}
    ours = chainrule.load(io.BytesIO(torch_save(theirs)))
    assert repr(ours["x"]) == repr(theirs["x"]) and ours["s"].item() == 3.5
    back = torch_load(bytes_of(ours, chainrule.save))
    assert all(torch.equal(back[name], theirs[name]) for name in theirs)


def test_a_model_moves_over():
    torch.manual_seed(0)
    theirs = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    ours = chainrule.nn.Sequential(chainrule.nn.Linear(3, 4), chainrule.nn.BatchNorm1d(4))
    ours.load_state_dict(chainrule.load(io.BytesIO(torch_save(theirs.state_dict()))))
    x = np.linspace(-1, 1, 15, dtype=np.float32).reshape(5, 3)
    expected = theirs(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(
        ours(chainrule.from_numpy(x)).detach().numpy(), expected, rtol=1e-5, atol=1e-6
    )
    back = torch_load(bytes_of(ours.state_dict(), chainrule.save))
    theirs.load_state_dict(back)


@pytest.mark.parametrize("new", [True, False])
def test_pickles_are_refused(new):
    def save(value, file):
        torch.save(value, file, _use_new_zipfile_serialization=new)

    for value in ({"w": torch.ones(2)}, torch.nn.Linear(1, 1), 3):
        with pytest.raises(RuntimeError) as error:
            chainrule.load(io.BytesIO(bytes_of(value, save)))
        assert "got a pickle in the file; chainrule never unpickles" in str(error.value)
        assert "hint: convert it once in PyTorch: " in str(error.value)


def test_what_a_script_saves_comes_back_equal():
    """The usual checkpoint of a training script, written and read by both libraries."""
    results = []
    for lib in (torch, chainrule):
        lib.manual_seed(0)
        net = lib.nn.Linear(2, 2)
        optimizer = lib.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
        schedule = lib.optim.lr_scheduler.MultiStepLR(optimizer, [1, 2])
        net(lib.ones(1, 2)).sum().backward()
        optimizer.step()
        schedule.step()
        file = io.BytesIO()
        lib.save(
            {
                "net": net.state_dict(),
                "optimizer": optimizer.state_dict(),
                "schedule": schedule.state_dict(),
                "best": (0.5, float("inf")),
                3: None,
            },
            file,
        )
        file.seek(0)
        loaded = lib.load(file, map_location=lib.device("cpu"))
        net.load_state_dict(loaded["net"])
        optimizer.load_state_dict(loaded["optimizer"])
        schedule.load_state_dict(loaded["schedule"])
        momentum = loaded["optimizer"]["state"][0]["momentum_buffer"].tolist()
        results.append((list(loaded), loaded["best"], momentum, schedule.get_last_lr()))
        assert type(loaded["schedule"]["milestones"]).__name__ == "Counter"
    assert results[0] == results[1]
