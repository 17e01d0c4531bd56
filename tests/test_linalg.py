"""torch.linalg: what each result satisfies, and what is refused, in one form."""

import re

import numpy as np
import pytest

import chainrule as torch
from chainrule.errors import DTypeError, LinAlgError, ShapeError

RNG = np.random.default_rng(0)
FORM = re.compile(r"[^\n]+ requires [^\n]+, got [^\n]+\n  recorded at test_linalg\.py:\d+"
                  r"(, in [^\n]+)?(\n  hint: [^\n]+)?")


def normal(*shape):
    return torch.tensor(RNG.standard_normal(shape))


def positive(*shape):
    x = normal(*shape)
    return x @ x.mT + torch.eye(shape[-1], dtype=torch.float64)


def close(a, b):
    np.testing.assert_allclose(a.tolist(), b.tolist(), 1e-10, 1e-10)


@pytest.mark.parametrize("shape", [(3, 3), (2, 5, 3), (2, 3, 5), (4, 1), (1, 4), (0, 3), (2, 3, 0)])
def test_factors_multiply_to_the_matrix(shape):
    x = normal(*shape)
    k = min(shape[-2:])
    eye = torch.eye(k, dtype=torch.float64).expand(*shape[:-2], k, k)
    for full in (False, True):
        u, s, vh = torch.linalg.svd(x, full_matrices=full)
        close((u[..., :k] * s.unsqueeze(-2)) @ vh[..., :k, :], x)
        close((u.mT @ u)[..., :k, :k], eye)
    for mode in ("reduced", "complete"):
        q, r = torch.linalg.qr(x, mode)
        close(q @ r, x)
        close((q.mT @ q)[..., :k, :k], eye)
        close(r.triu(), r)


def test_symmetric_factors_multiply_to_the_matrix():
    x = positive(2, 4, 4)
    w, v = torch.linalg.eigh(x)
    close((v * w.unsqueeze(-2)) @ v.mT, x)
    lower, upper = torch.linalg.cholesky(x), torch.linalg.cholesky(x, upper=True)
    close(lower @ lower.mT, x)
    close(upper.mT @ upper, x)
    close(torch.linalg.eigvalsh(x.triu(), UPLO="U"), w)


def test_inverses_and_powers():
    x = positive(2, 4, 4)
    close(torch.linalg.solve(x, x @ x), x)
    close(torch.matrix_power(x, -2) @ torch.matrix_power(x, 2), torch.linalg.matrix_power(x, 0))
    tall = normal(5, 3)
    p = torch.linalg.pinv(tall)
    close(p @ tall, torch.eye(3))
    close(torch.linalg.lstsq(tall, tall[:, 0]).solution, torch.eye(3)[0])
    assert torch.linalg.matrix_rank(tall @ tall.mT).item() == 3


def test_determinants():
    x = positive(3, 4, 4)
    sign, log = torch.linalg.slogdet(-x[:, :3, :3])
    close(sign * log.exp(), torch.det(-x[:, :3, :3]))
    close(torch.logdet(x), x.det().log())
    assert torch.logdet(-torch.eye(3)).isnan().item()


def test_the_gradient_of_a_singular_determinant_is_the_cofactors():
    x = torch.tensor([[1.0, 2.0], [2.0, 4.0]], requires_grad=True)
    torch.det(x).backward()
    np.testing.assert_allclose(x.grad.tolist(), [[4.0, -2.0], [-2.0, 1.0]], rtol=1e-5)


def test_a_batch_with_one_singular_matrix():
    x = torch.stack([torch.eye(2), torch.ones(2, 2)]).requires_grad_()
    torch.slogdet(x).logabsdet.sum().backward()
    assert x.grad[0].tolist() == [[1.0, 0.0], [0.0, 1.0]]
    assert not x.grad[1].isfinite().any().item()


def test_eigenvalues_have_a_gradient_where_eigenvectors_have_none():
    for vectors in (False, True):
        x = torch.eye(3, requires_grad=True)
        w, v = torch.linalg.eigh(x)
        (w.sum() + (v.sum() if vectors else 0)).backward()
        assert x.grad.isfinite().all().item() != vectors


def test_vmap():
    x = positive(3, 4, 4)
    close(torch.vmap(torch.det)(x), torch.det(x))
    close(torch.vmap(torch.linalg.cholesky)(x), torch.linalg.cholesky(x))
    close(torch.vmap(torch.linalg.eigvalsh)(x), torch.linalg.eigvalsh(x))
    close(torch.vmap(lambda a: torch.linalg.solve(x[0], a))(x), torch.linalg.solve(x[0], x))


NAN = torch.full((2, 2), float("nan"))
REFUSED = {
    "inv": (LinAlgError, lambda: torch.inverse(torch.ones(2, 2)), "singular"),
    "solve": (LinAlgError, lambda: torch.linalg.solve(torch.ones(2, 2), torch.ones(2)), "singular"),
    "cholesky": (LinAlgError, lambda: torch.cholesky(-torch.eye(2)), "positive-definite"),
    "eigh": (LinAlgError, lambda: torch.linalg.eigvalsh(NAN), "finite"),
    "eigh vectors": (LinAlgError, lambda: torch.linalg.eigh(NAN)[1], "finite"),
    "svd": (LinAlgError, lambda: torch.linalg.svdvals(NAN), "finite"),
    "svd vectors": (LinAlgError, lambda: torch.linalg.svd(NAN)[0], "finite"),
    "pinv": (LinAlgError, lambda: torch.linalg.pinv(NAN), "finite"),
    "not square": (ShapeError, lambda: torch.det(torch.ones(2, 3)), "det requires", "(2, 3)"),
    "no matrix": (ShapeError, lambda: torch.linalg.svd(torch.ones(2)), "svd requires matrices"),
    "power": (ShapeError, lambda: torch.matrix_power(torch.ones(2, 3), 2), "(2, 3)"),
    "rows": (ShapeError, lambda: torch.linalg.solve(torch.eye(2), torch.ones(3, 1)), "(3, 1)"),
    "half": (DTypeError, lambda: torch.inverse(torch.eye(2).half()), "torch.float16", "x.float()"),
    "integers": (DTypeError, lambda: torch.linalg.qr(torch.ones(2, 2).long()), "torch.int64"),
    "dtypes": (DTypeError, lambda: torch.linalg.solve(torch.eye(2), torch.eye(2).double()),
               "equal dtypes", "torch.float32 and torch.float64"),
    "norm": (ShapeError, lambda: torch.linalg.norm(torch.ones(2, 2, 2), 2), "(2, 2, 2)"),
    "matrix_norm": (ValueError, lambda: torch.linalg.matrix_norm(torch.eye(2), 3), "got 3"),
    "matrix_norm dim": (ShapeError, lambda: torch.linalg.matrix_norm(NAN, 1, (0,)), "(0,)"),
    "UPLO": (ValueError, lambda: torch.linalg.eigh(torch.eye(2), "X"), "'X'"),
    "qr mode": (ValueError, lambda: torch.linalg.qr(torch.eye(2), "raw"), "'raw'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name):
    kind, make, *parts = REFUSED[name]
    with pytest.raises(kind) as caught:
        make().tolist()
    text = str(caught.value)
    assert isinstance(caught.value, RuntimeError)
    assert FORM.fullmatch(text), text
    for part in parts:
        assert part in text


def test_a_singular_matrix_is_named_where_it_was_inverted():
    y = torch.inverse(torch.zeros(2, 2))
    line = test_a_singular_matrix_is_named_where_it_was_inverted.__code__.co_firstlineno + 1
    with pytest.raises(torch.linalg.LinAlgError, match=f"test_linalg.py:{line}"):
        (y + 1).sum().item()


def test_a_missing_name_is_said_with_the_nearest():
    with pytest.raises(AttributeError, match="torch.linalg.*'eigvals'.*'eigvalsh'"):
        _ = torch.linalg.eigvals
