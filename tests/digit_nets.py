"""Deep self-normalizing nets that learn the digits, at once or one by one."""

import numpy as np
import torch
from torch import nn

from companion.datasets import load
from companion.torch.ensemble import METHODS, Ensemble, train

DEPTH, WIDTH, RATE = 16, 64, 0.05
BATCH_SIZE, LEARNING_RATE, MOMENTUM = 32, 0.01, 0.9


def rows():
    data = load("digits")
    return data.x_train.astype(np.float32), data.y_train.astype(np.int64)


def at_once(seeds, epochs=10, device="cpu"):
    """Train a net for each seed, all at once, and return their last losses."""
    x, y = rows()
    widths = [x.shape[1], *DEPTH * [WIDTH], 10]
    options = {"rate": RATE, "dtype": torch.float32, "device": device}
    net = Ensemble(widths, seeds=seeds, **options, **METHODS["selu"])
    options = {"learning_rate": LEARNING_RATE, "momentum": MOMENTUM, "epochs": epochs}
    return train(net, x, y, batch_size=BATCH_SIZE, **options).losses[-1]


def one(epochs=10, device="cpu"):
    """Train a net in plain PyTorch, and return its last loss."""
    x, y = (torch.from_numpy(values).to(device) for values in rows())
    layers, n = [], x.shape[1]
    for _ in range(DEPTH):
        layers += [nn.Linear(n, WIDTH), nn.SELU(), nn.AlphaDropout(RATE)]
        n = WIDTH
    model = nn.Sequential(*layers, nn.Linear(n, 10)).to(device)
    for layer in model[::3]:  # LeCun's initialization
        nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")
        nn.init.zeros_(layer.bias)
    optimizer = torch.optim.SGD(model.parameters(), LEARNING_RATE, MOMENTUM)
    for _ in range(epochs):
        total = 0.0
        for batch in torch.randperm(len(x), device=device).split(BATCH_SIZE):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x[batch]), y[batch])
            loss.backward()
            optimizer.step()
            total += loss.detach() * len(batch)
    return total.item() / len(x)
