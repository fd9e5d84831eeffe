"""Small PyTorch models of many kinds, healthy ones, for the tests of the doctor."""

import torch
import torch.nn.functional as F
from torch import nn

N = 32  # rows of a batch


def dense(activation, depth=6, width=32, classes=4, init="he"):
    """Stack layers of one width, with weights as ``init`` names them."""
    layers, n = [], 8
    for _ in range(depth):
        layers += [linear(n, width, init), activation()]
        n = width
    return nn.Sequential(*layers, linear(n, classes, "glorot"))


def linear(n, units, init):
    layer = nn.Linear(n, units)
    variance = {"he": 2 / n, "lecun": 1 / n, "glorot": 2 / (n + units)}[init]
    nn.init.normal_(layer.weight, std=variance**0.5)
    nn.init.zeros_(layer.bias)
    return layer


class Residual(nn.Module):
    """Two convolutions and a way around them, as in a ResNet."""

    def __init__(self, n, units, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(n, units, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(units)
        self.conv2 = nn.Conv2d(units, units, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(units)
        self.around = nn.Identity()
        if stride > 1:
            conv = nn.Conv2d(n, units, 1, stride, bias=False)
            self.around = nn.Sequential(conv, nn.BatchNorm2d(units))
        self.relu = nn.ReLU(inplace=True)  # called twice

    def forward(self, x):
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        y += self.around(x)
        return self.relu(y)


class Inverted(nn.Module):
    """Widen, convolve each channel alone, narrow: as in a MobileNet."""

    def __init__(self, n, wide):
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Conv2d(n, wide, 1, bias=False), nn.BatchNorm2d(wide), nn.ReLU6(True)),
            nn.Conv2d(wide, wide, 3, padding=1, groups=wide, bias=False),
            *(nn.BatchNorm2d(wide), nn.ReLU6(True)),
            *(nn.Conv2d(wide, n, 1, bias=False), nn.BatchNorm2d(n)),
        )

    def forward(self, x):
        return x + self.layers(x)


def on_images(*blocks, act=nn.ReLU):
    """Put a stem before the blocks, and a classifier behind them."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        act(inplace=True),
        *blocks,
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.LazyLinear(4),
    )


def residual():
    return on_images(Residual(8, 8, 1), Residual(8, 16, 2), Residual(16, 16, 1))


def mobile():
    return on_images(*[Inverted(8, 24) for _ in range(3)], act=nn.ReLU6)


class Shared(nn.Module):
    """Call one layer and one activation again and again."""

    def __init__(self, repeats=8):
        super().__init__()
        self.first, self.layer = linear(8, 32, "he"), linear(32, 32, "he")
        self.last, self.relu, self.repeats = linear(32, 4, "glorot"), nn.ReLU(), repeats

    def forward(self, x):
        x = self.relu(self.first(x))
        for _ in range(self.repeats):
            x = self.relu(self.layer(x))
        return self.last(x)


class TwoInputs(nn.Module):
    """Use functions in place of modules, and return a dict."""

    def __init__(self, f=F.selu, init="lecun", dropout=F.alpha_dropout):
        super().__init__()
        self.left, self.right = linear(8, 32, init), linear(5, 32, init)
        self.deep = nn.ModuleList([linear(64, 64, init) for _ in range(5)])
        self.last = linear(64, 4, "glorot")
        self.f, self.dropout, self.between = f, dropout, lambda x: x

    def forward(self, left, right):
        x = torch.cat([self.f(self.left(left)), self.f(self.right(right))], 1)
        x = self.between(x)
        for layer in self.deep:
            x = self.f(layer(x))
        x = self.dropout(x, 0.05, self.training)
        return {"logits": self.last(x), "features": x}


class Recurrent(nn.Module):
    """Read a sequence of numbers by an LSTM of two layers."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(8, 16, num_layers=2, batch_first=True)
        self.last = nn.Linear(16, 4)

    def forward(self, x):
        return self.last(self.lstm(x)[0][:, -1])


class Attention(nn.Module):
    """Embed words, add their positions, and let them attend to each other."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(20, 16)
        self.position = nn.Parameter(0.1 * torch.randn(7, 16))
        layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2)
        self.last = nn.Linear(16, 4)

    def forward(self, words):
        return self.last(self.encoder(self.embedding(words) + self.position))


def images():
    return torch.randn(N, 3, 8, 8)


def rows():
    return torch.randn(N, 8)


def labels(*shape):
    return torch.randint(4, (N, *shape))


def tensors(value):
    """Return the tensors in a tensor, a tuple or a dict."""
    if isinstance(value, torch.Tensor):
        return [value]
    return list(value.values() if isinstance(value, dict) else value)


#: How to make a model, and its inputs.
NETS = {
    "relu": (lambda: dense(nn.ReLU), rows),
    "tanh": (lambda: dense(nn.Tanh, init="glorot"), rows),
    "selu": (lambda: dense(nn.SELU, init="lecun"), rows),
    "residual": (residual, images),
    "mobile": (mobile, images),
    "shared": (Shared, rows),
    "two inputs": (TwoInputs, lambda: (rows(), torch.randn(N, 5))),
    "two inputs, tanh": (
        lambda: TwoInputs(torch.tanh, "glorot", F.dropout),
        lambda: {"left": rows(), "right": torch.randn(N, 5)},
    ),
    "recurrent": (Recurrent, lambda: torch.randn(N, 6, 8)),
    "attention": (Attention, lambda: torch.randint(20, (N, 7))),
}


def case(name, seed=0):
    """Return a model, inputs and labels; the same ones for the same seed."""
    torch.manual_seed(seed)
    make, inputs = NETS[name]
    model, x = make(), inputs()
    if any(map(nn.parameter.is_lazy, model.parameters())):
        with torch.no_grad():
            model.eval()(x)  # which knows the shapes then
        model.train()
    return model, x, labels(7) if name == "attention" else labels()
