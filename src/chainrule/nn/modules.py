"""PyTorch's `nn.modules`: what it spreads over these files is here one namespace, `nn` itself."""

import sys

_nn = sys.modules[__package__]

activation = adaptive = batchnorm = channelshuffle = container = conv = distance = _nn
dropout = flatten = fold = instancenorm = linear = loss = module = normalization = _nn
padding = pixelshuffle = pooling = rnn = sparse = transformer = upsampling = _nn


def __getattr__(name: str):
    return getattr(_nn, name)  # which knows what to say about a name that it lacks
