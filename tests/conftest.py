"""Options for the tests that need something this repository does not hold."""


def pytest_addoption(parser):
    parser.addoption("--public", metavar="DIR", help="folder with public PyTorch programs")
    parser.addoption("--workloads", metavar="FILE", help="the workloads to compare losses on")
