"""A straight line, learned by hand: the whole of back-propagation with one number to learn.

    model     yhat = x w
    loss      l = (x w - y)^2
    gradient  dl/dw = dl/dr dr/dyhat dyhat/dw = 2 (x w - y) x      where r = yhat - y
    update    w <- w - 0.01 dl/dw

The data (1, 2), (2, 4), (3, 6) lie on y = 2 x, so w must become 2.  The chain rule is first read
factor by factor, then used to learn; at the end three ways to the same w are compared.
"""

import chainrule as torch

DATA = [(1.0, 2.0), (2.0, 4.0), (3.0, 6.0)]


def loss_of(x, y, w):
    return (x * w - y) ** 2


def one_link_at_a_time():
    """x = 1, w = 1, y = 2: every factor of dl/dw, each a gradient of its own."""
    w = torch.tensor(1.0, requires_grad=True)
    yhat = 1.0 * w
    r = yhat - 2.0
    loss = r**2
    links = {"dl/dr": (loss, r), "dr/dyhat": (r, yhat), "dyhat/dw": (yhat, w), "dl/dw": (loss, w)}
    print(f"yhat = {yhat.item():g}, r = {r.item():g}, loss = {loss.item():g}")
    for name, (output, source) in links.items():
        (factor,) = torch.autograd.grad(output, source, retain_graph=True)
        print(f"  {name:<9} = {factor.item():g}")

    w = torch.tensor(1.0, requires_grad=True)
    loss = loss_of(2.0, 4.0, w)
    loss.backward()
    print(f"x = 2, y = 4, w = 1: loss = {loss.item():g}, dl/dw = {w.grad.item():g}\n")


def learn_the_line():
    """Gradient descent, one sample at a time, as a first lesson writes it."""
    w = torch.Tensor([1.0])
    w.requires_grad = True
    print("before training, prediction at 4:", (4 * w).item())
    for epoch in range(100):
        for x, y in DATA:
            loss = loss_of(x, y, w)
            loss.backward()
            if epoch == 0:
                print(f"  x = {x:g}, y = {y:g}: dl/dw = {w.grad.item()}")
            w.data = w.data - 0.01 * w.grad.data
            w.grad.data.zero_()
        if epoch in (0, 9, 99):
            print(f"epoch {epoch}: loss = {loss.item()}")
    print("after training, prediction at 4:", (w * 4).item(), "\n")


def learn_a_parabola():
    """yhat = w1 x^2 + w2 x + b on the same line: three gradients from one walk back."""
    w1, w2, b = (torch.tensor([1.0], requires_grad=True) for _ in range(3))

    def predict(x):
        return w1 * x**2 + w2 * x + b

    for _ in range(100):
        for x, y in DATA:
            loss = (predict(x) - y) ** 2
            loss.backward()
            for parameter in (w1, w2, b):
                parameter.data = parameter.data - 0.01 * parameter.grad.data
                parameter.grad.data.zero_()
    print(f"parabola: w1 = {w1.item():.3f}, w2 = {w2.item():.3f}, b = {b.item():.3f}")
    print(f"  loss {loss.item():.6f}, prediction at 4: {predict(4.0).item():.6f}\n")


def three_ways():
    """Try every w; follow a gradient measured by differences; follow the chain rule."""
    calls = 0

    def mean_loss(w):
        nonlocal calls
        calls += 1
        return sum(loss_of(x, y, w) for x, y in DATA) / len(DATA)

    def report(way, w, error_per):
        print(f"{way:<22} w = {w:.6f}   {calls:3d} losses computed   {error_per}")

    report("scan of a grid", min((k / 10 for k in range(41)), key=mean_loss), "to one decimal")

    calls, w, h = 0, 0.0, 1e-4
    for _ in range(50):
        w -= 0.05 * (mean_loss(w + h) - mean_loss(w - h)) / (2 * h)
    report("numeric gradients", w, "2 losses a gradient, for each parameter")

    calls, w = 0, torch.tensor(0.0, dtype=torch.float64, requires_grad=True)
    for _ in range(50):
        mean_loss(w).backward()
        with torch.no_grad():
            w -= 0.05 * w.grad
            w.grad.zero_()
    report("back-propagation", w.item(), "1 loss a gradient, for all parameters together")


if __name__ == "__main__":
    one_link_at_a_time()
    learn_the_line()
    learn_a_parabola()
    three_ways()
