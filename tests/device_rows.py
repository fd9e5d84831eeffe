"""What the benchmarks of a GPU measure, each a function of the device and the size.

So that ``test_benchmarks.py`` can run them small and on a CPU.  Each returns seconds or
bytes of ours and of the other.
"""

import functools

import digit_nets
import torch
from timing import clock_of, in_turns, peak_bytes, wall_time
from torch import nn
from torch.autograd import grad

from companion.torch.kernels import BatchNormActivation, selu_alpha_dropout

RATE = 0.1
TURNS = {"cuda": 50, "cpu": 15}
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
ACTIVATIONS = {"relu": nn.ReLU, "elu": nn.ELU}


def compiled(module, device):
    """Compile for a GPU; elsewhere only see that it can be traced."""
    return torch.compile(module, backend="inductor" if device == "cuda" else "eager")


def turns(calls, device):
    """Take turns, as many as suit the device."""
    return in_turns(*calls, turns=TURNS[device], clock=clock_of(device))


def tensors(device, shape, dtype):
    """Return an input, and a gradient of the output."""
    x, upstream = torch.randn(2, *shape, device=device).to(dtype)
    return x.requires_grad_(), upstream


# --- SELU and alpha dropout -----------------------------------------------------------
def fused(z):
    return selu_alpha_dropout(z, RATE)


def eager():
    return nn.Sequential(nn.SELU(), nn.AlphaDropout(RATE))


def both_ways(functions, x, upstream):
    """Return calls of functions, forwards and back to the input and the weights."""
    weights = [[*getattr(f, "parameters", tuple)()] for f in functions]
    return [
        functools.partial(lambda f, leaves: grad(f(x), leaves, upstream), f, [x, *more])
        for f, more in zip(functions, weights, strict=True)
    ]


def forward_bandwidth(dtype, device, size):
    z, upstream = tensors(device, [size], dtype)
    plain = z.detach()
    calls = lambda: fused(plain), lambda: upstream.copy_(plain)
    return turns(calls, device)  # one read and one write of each number, twice


def backward_bandwidth(dtype, device, size):
    z, upstream = tensors(device, [size], dtype)
    y, other = fused(z), torch.empty_like(upstream)
    calls = (
        lambda: grad(y, z, upstream, retain_graph=True),
        lambda: other.copy_(upstream),
    )
    ours, copy = turns(calls, device)
    return ours, 3 / 2 * copy  # two reads and one write


def over_eager(dtype, device, size):
    calls = both_ways([fused, eager()], *tensors(device, [size], dtype))
    return turns(calls, device)


def over_compiled(dtype, device, size):
    functions = fused, compiled(eager(), device)
    return turns(both_ways(functions, *tensors(device, [size], dtype)), device)


def memory(dtype, device, size):
    calls = both_ways([fused, eager()], *tensors(device, [size], dtype))
    return [peak_bytes(call, device) for call in calls]


# --- batch normalization --------------------------------------------------------------
def batch_norms(activation, device, n_features):
    """Return our layer, and PyTorch's own two."""
    ours = BatchNormActivation(n_features, activation)
    other = nn.Sequential(nn.BatchNorm1d(n_features), ACTIVATIONS[activation]())
    return ours.to(device), other.to(device)


def batch_norm_over_eager(activation, dtype, device, size, width=1024):
    layers = batch_norms(activation, device, width)
    x = tensors(device, [size, width], dtype)
    return turns(both_ways(layers, *x), device)


def batch_norm_over_compiled(activation, dtype, device, size, width=1024):
    ours, other = batch_norms(activation, device, width)
    x = tensors(device, [size, width], dtype)
    return turns(both_ways([ours, compiled(other, device)], *x), device)


# --- nets -----------------------------------------------------------------------------
def ensemble(device, size, epochs=10):
    calls = (
        lambda: digit_nets.at_once(range(size), epochs, device),
        lambda: digit_nets.one(epochs, device),
    )
    ours, one = in_turns(*calls, turns=3, warm_up=1, clock=wall_time)
    return ours / size, one


def nets(device, width, depth=16):
    """Return a SELU net and a batch-normalized one."""
    kinds = lambda: [nn.SELU()], lambda: [nn.BatchNorm1d(width), nn.ReLU()]
    for kind in kinds:
        layers = []
        for _ in range(depth):
            layers += [nn.Linear(width, width), *kind()]
        yield nn.Sequential(*layers, nn.Linear(width, width)).to(device)


def steps(nets, x):
    """Return functions that run nets forwards and backwards."""
    return [
        functools.partial(lambda f: grad(f(x).square().mean(), [*f.parameters()]), net)
        for net in nets
    ]


def selu_net_time(device, size, width=1024):
    calls = steps(nets(device, width), torch.randn(size, width, device=device))
    return turns(calls, device)


def selu_net_memory(device, size, width=1024):
    calls = steps(nets(device, width), torch.randn(size, width, device=device))
    return [peak_bytes(call, device) for call in calls]


def _rows():
    partial = functools.partial
    for name, dtype in DTYPES.items():
        for what, function in (
            ("forward-bandwidth", forward_bandwidth),
            ("backward-bandwidth", backward_bandwidth),
            ("eager", over_eager),
            ("compiled", over_compiled),
            ("memory", memory),
        ):
            yield f"selu-alpha-dropout-{name}-{what}", partial(function, dtype), 2**28
        for activation in ACTIVATIONS:
            for what, function in (
                ("eager", batch_norm_over_eager),
                ("compiled", batch_norm_over_compiled),
            ):
                id = f"batch-norm-{activation}-{name}-{what}"
                yield id, partial(function, activation, dtype), 2**16
    yield "ensemble", ensemble, 1000
    yield "selu-net-time", selu_net_time, 2**14
    yield "selu-net-memory", selu_net_memory, 2**14


#: Of each id: a function of the device and the size, and the size.
ROWS = {f"gpu-{id}": (function, size) for id, function, size in _rows()}
