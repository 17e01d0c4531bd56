"""Orders, splits and batches equal PyTorch's for equal seeds; so does what is drawn afterwards."""

import collections
import itertools

import numpy as np
import pytest

import chainrule

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")
PACKAGES = (torch, chainrule)


def of(lib):
    return lib.utils.data


def after(lib):
    """What the default generator gives next."""
    return lib.randint(0, 1 << 20, (3,)).tolist()


def plain(value):
    """A batch as nested lists, tensors with their dtype."""
    if hasattr(value, "tolist"):
        return str(value.dtype), value.tolist()
    if isinstance(value, (list, tuple)):
        return type(value).__name__, [plain(part) for part in value]
    if isinstance(value, dict):
        return type(value).__name__, {key: plain(part) for key, part in value.items()}
    return value


def same(experiment, *args):
    """Both libraries give the same under the same seed, and have drawn equally much."""
    results = []
    for lib in PACKAGES:
        lib.manual_seed(11)
        results.append((experiment(lib, *args), after(lib)))
    assert results[0] == results[1]
    return results[0][0]


def generator(lib, seed=7):
    g = lib.Generator()
    g.manual_seed(seed)
    return g


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize(
    "n, arguments",
    [
        (1, {}),
        (10, {}),
        (1000, {}),
        (10, dict(num_samples=4)),
        (10, dict(num_samples=20)),
        (10, dict(num_samples=25)),
        (10, dict(replacement=True)),
        (10, dict(replacement=True, num_samples=32)),
        (10, dict(replacement=True, num_samples=100)),
    ],
)
def test_random_sampler(n, arguments, own):
    def experiment(lib):
        g = generator(lib) if own else None
        sampler = of(lib).RandomSampler(range(n), generator=g, **arguments)
        return list(sampler), list(sampler), len(sampler), own and g.initial_seed()

    same(experiment)


@pytest.mark.parametrize("own", [False, True])
def test_subset_and_weighted_samplers(own):
    def experiment(lib):
        g = generator(lib) if own else None
        data = of(lib)
        weights = [0.1, 2.0, 0.0, 5.0, 0.5]
        return (
            list(data.SubsetRandomSampler([5, 3, 9, 1], g)),
            list(data.WeightedRandomSampler(weights, 40, True, g)),
            list(data.WeightedRandomSampler(weights, 4, False, g)),
            list(data.WeightedRandomSampler(weights, 1, True, g)),
        )

    same(experiment)


@pytest.mark.parametrize("n", [10, 103])
@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("lengths", [[0.5, 0.3, 0.2], [0.33, 0.33, 0.34], [1.0], "whole"])
def test_random_split(n, lengths, own):
    lengths = [n - 3, 3] if lengths == "whole" else lengths

    def experiment(lib):
        extra = (generator(lib),) if own else ()
        return [list(s.indices) for s in of(lib).random_split(range(n), lengths, *extra)]

    same(experiment)


LOADERS = [
    dict(batch_size=batch_size, shuffle=shuffle, drop_last=drop_last)
    for batch_size, shuffle, drop_last in itertools.product((1, 3, 10), (True, False), (0, 1))
] + [dict(batch_size=None, shuffle=True), dict(batch_sampler=[[1, 2], [0]])]


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("arguments", LOADERS, ids=str)
def test_loader(arguments, own):
    arguments = {k: bool(v) if k == "drop_last" else v for k, v in arguments.items()}

    def experiment(lib):
        data = of(lib)
        tensors = data.TensorDataset(lib.arange(10), lib.arange(20.0).reshape(10, 2))
        g = generator(lib) if own else None
        loader = data.DataLoader(tensors, generator=g, **arguments)
        first = [plain(batch) for batch in loader]
        between = after(lib)
        iterator = iter(loader)
        begun = after(lib)
        return first, between, begun, plain(next(iterator)), len(loader)

    same(experiment)


@pytest.mark.parametrize("workers", [1, 2])
def test_prefetching_draws_as_processes_do(workers):
    def experiment(lib):
        data = of(lib)
        tensors = data.TensorDataset(lib.arange(12))
        loader = data.DataLoader(tensors, 2, shuffle=True, num_workers=workers)
        first = [plain(batch) for batch in loader]
        iterator = iter(loader)
        begun = after(lib)
        return first, begun, [plain(batch) for batch in iterator]

    same(experiment)


def stream_class(lib):
    class Uneven(of(lib).IterableDataset):
        """The shares of the workers have different lengths."""

        def __iter__(self):
            info = of(lib).get_worker_info()
            if info is None:
                return iter(range(13))
            return iter(range(100 * info.id, 100 * info.id + 4 * info.id + 1))

    return Uneven


@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.parametrize("batch_size", [None, 2])
def test_a_stream_is_shared_out_as_among_processes(workers, batch_size):
    def experiment(lib):
        loader = of(lib).DataLoader(stream_class(lib)(), batch_size, num_workers=workers)
        return [plain(batch) for batch in loader]

    assert same(experiment)


@pytest.mark.parametrize("persistent", [False, True])
def test_samples_drawn_in_the_workers(persistent):
    def experiment(lib):
        class Noisy(of(lib).Dataset):
            def __getitem__(self, i):
                return lib.rand(1), lib.randperm(4), lib.initial_seed()

            def __len__(self):
                return 6

        loader = of(lib).DataLoader(
            Noisy(),
            num_workers=2,
            worker_init_fn=lambda number: lib.rand(1),
            persistent_workers=persistent,
        )
        return [[plain(batch) for batch in loader] for _ in range(2)]

    same(experiment)


Point = collections.namedtuple("Point", "x y")


def test_collate():
    samples = [
        [1, 2],
        [1.5, 2],
        [2, 1.5],
        [True, False],
        ["a", "b"],
        [(1, "a", 2.0), (2, "b", 3.0)],
        [[1, 2], [3, 4]],
        [Point(1, 2.0), Point(3, 4.0)],
        [{"a": 1, "b": {"c": (1, 2)}}, {"a": 2, "b": {"c": (3, 4)}}],
        [collections.OrderedDict(z=1, a=2)],
        [np.float32(1), np.float32(2)],
        [np.int16(1), np.int16(2)],
        [np.float64(1)],
        [np.zeros((2, 3), np.float16)] * 2,
        [np.array(3)] * 2,
        [b"x", b"y"],
    ]
    for batch in samples:
        found = [plain(of(lib).default_collate(batch)) for lib in PACKAGES]
        assert found[0] == found[1], batch
        converted = [plain(of(lib).default_convert(batch)) for lib in PACKAGES]
        assert converted[0] == converted[1], batch


WRONG = [
    lambda d, data: d.TensorDataset(data[:2][0], data[:3][0]),
    lambda d, data: d.random_split(data, [3, 3]),
    lambda d, data: d.random_split(data, [1.5, -0.5]),
    lambda d, data: d.DataLoader(data, batch_size=0),
    lambda d, data: d.DataLoader(data, shuffle=True, sampler=range(3)),
    lambda d, data: d.DataLoader(data, batch_sampler=[[1]], batch_size=2),
    lambda d, data: d.DataLoader(data, batch_size=None, drop_last=True),
    lambda d, data: d.DataLoader(data, num_workers=-1),
    lambda d, data: d.DataLoader(data, prefetch_factor=2),
    lambda d, data: d.DataLoader(data, persistent_workers=True),
    lambda d, data: d.DataLoader(data, timeout=-1),
    lambda d, data: d.RandomSampler([]),
    lambda d, data: d.RandomSampler(data, replacement=1),
    lambda d, data: d.RandomSampler(data, num_samples=0),
    lambda d, data: d.WeightedRandomSampler([[1.0]], 2),
    lambda d, data: d.WeightedRandomSampler([1.0], 2.5),
    lambda d, data: list(d.WeightedRandomSampler([1.0, 0.0], 3, replacement=False)),
    lambda d, data: d.BatchSampler([1], 0, False),
    lambda d, data: d.BatchSampler([1], 2, 1),
    lambda d, data: d.ConcatDataset([]),
    lambda d, data: d.default_collate([None]),
    lambda d, data: d.default_collate([[1, 2], [1]]),
    lambda d, data: d.Dataset()[0],
    lambda d, data: next(iter(d.DataLoader(data, sampler=[10]))),
]


@pytest.mark.parametrize("wrong", WRONG)
def test_errors_are_of_pytorchs_type(wrong):
    with pytest.raises(Exception) as theirs:
        wrong(of(torch), of(torch).TensorDataset(torch.arange(10)))
    with pytest.raises(type(theirs.value)):
        wrong(of(chainrule), of(chainrule).TensorDataset(chainrule.arange(10)))
