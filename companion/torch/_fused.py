r"""The Triton kernels as operators of PyTorch, each with its derivative.

As operators they are known to ``torch.compile``, which does not look inside, and to
CUDA graphs: nothing in them waits for the GPU.  Their backward passes have no
derivatives of their own.

An activation is a pair: its name, and up to two parameters p and q, as
:mod:`companion.torch._triton_activations` has them.
"""

import importlib.util
import os
import shutil
import sys

import torch
from torch.library import custom_op

DTYPES = torch.float16, torch.bfloat16, torch.float32


def _usable():
    """Whether Triton can be used: 3.4 at least, and a C compiler, which it starts.

    Loaded after TensorFlow it would end the process, since both bring an LLVM.
    """
    late = "tensorflow" in sys.modules and "triton" not in sys.modules
    compilers = os.environ.get("CC"), shutil.which("gcc"), shutil.which("clang")
    if late or not any(compilers) or importlib.util.find_spec("triton") is None:
        return False
    import triton

    return tuple(int(part) for part in triton.__version__.split(".")[:2]) >= (3, 4)


_INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
# Found out here and not at the first call, when TensorFlow may be there.
_USABLE = (torch.version.cuda is not None or _INTERPRETED) and _usable()


def applies(x):
    """Whether there are kernels for a tensor: on an NVIDIA GPU, up to float32.

    With ``TRITON_INTERPRET=1`` in the environment they run, slowly, on a CPU.
    """
    on_device = x.is_cuda or (x.device.type == "cpu" and _INTERPRETED)
    return on_device and x.dtype in DTYPES and _USABLE


# --- an activation and dropout --------------------------------------------------------
@custom_op("companion::activate_and_drop", mutates_args=())
def activate_and_drop(
    z: torch.Tensor,
    seed: torch.Tensor | None,
    name: str,
    p: float,
    q: float,
    kept: int,
    dropped: float,
    a: float,
    b: float,
) -> torch.Tensor:
    """Compute a f(z) + b where an element is kept, a times `dropped` plus b elsewhere.

    `kept` of 65536 elements are, by the mask that belongs to `seed`, an integer in a
    tensor.  Without a seed it is f(z).
    """
    from companion.torch import _triton_dropout as kernels

    y = torch.empty_like(z)
    with torch.cuda.device_of(z):
        kernels.launch(
            kernels.forward,
            *(_as(z, y), seed, y),
            n=z.numel(),
            **{"p": p, "q": q, "kept": kept, "dropped": dropped, "a": a, "b": b},
            **{"NAME": name, "DROP": seed is not None},
        )
    return y


@custom_op("companion::activate_and_drop_backward", mutates_args=())
def _activate_and_drop_backward(
    dy: torch.Tensor,
    z: torch.Tensor,
    seed: torch.Tensor | None,
    name: str,
    p: float,
    q: float,
    kept: int,
    a: float,
) -> torch.Tensor:
    from companion.torch import _triton_dropout as kernels

    dz = torch.empty_like(z)
    with torch.cuda.device_of(z):
        kernels.launch(
            kernels.backward,
            *(_as(dy, dz), _as(z, dz), seed, dz),
            n=z.numel(),
            **{"p": p, "q": q, "kept": kept, "a": a},
            **{"NAME": name, "DROP": seed is not None},
        )
    return dz


@activate_and_drop.register_fake
def _(z, *_):
    return torch.empty_like(z)


@_activate_and_drop_backward.register_fake
def _(dy, z, *_):
    return torch.empty_like(z)


def _keep_what_backward_needs(ctx, inputs, output):
    z, seed, ctx.name, ctx.p, ctx.q, ctx.kept, _, ctx.a, _ = inputs
    ctx.save_for_backward(z, seed)


def _backward(ctx, dy):
    arguments = ctx.name, ctx.p, ctx.q, ctx.kept, ctx.a
    dz = _activate_and_drop_backward(dy, *ctx.saved_tensors, *arguments)
    return dz, *8 * [None]


activate_and_drop.register_autograd(_backward, setup_context=_keep_what_backward_needs)


def _as(tensor, other):
    """Return a tensor with the strides of another, which has no gaps in memory."""
    if tensor.stride() == other.stride() and tensor.dtype == other.dtype:
        return tensor
    return torch.empty_like(other).copy_(tensor)
