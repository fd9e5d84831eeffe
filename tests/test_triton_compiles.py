"""The Triton kernels compile to machine code of GPUs; no GPU is needed for that.

Triton brings the assembler of NVIDIA.  What is compiled here is what a launch on such a
GPU would compile: sizes are 32 or 64 bits wide, and pointers aligned or not.
"""

import importlib
import os
import sys

import pytest

pytest.importorskip("torch")
triton = pytest.importorskip("triton")
compiler = importlib.import_module("triton.compiler")
GPUTarget = importlib.import_module("triton.backends.compiler").GPUTarget
OPTIONS = importlib.import_module("companion.torch._triton_activations").OPTIONS
columns = importlib.import_module("companion.torch._triton_columns")
dropout = importlib.import_module("companion.torch._triton_dropout")

pytestmark = [
    pytest.mark.skipif(
        os.environ.get("TRITON_INTERPRET") == "1" or sys.platform != "linux",
        reason="the interpreter takes the kernels' place; the tests run without it",
    ),
    # of Triton's own compiler, on Python 3.13
    pytest.mark.filterwarnings("ignore:AnnAssign.__init__:DeprecationWarning"),
]

#: Arguments that hold what a tensor holds; other pointers are to float32.
TENSORS = {"x_at", "y_at", "z_at", "dx_at", "dy_at", "dz_at", "du_at"}
SCALARS = {"p": "fp32", "q": "fp32", "a": "fp32", "b": "fp32", "dropped": "fp32"}


def compiled(kernel, dtype, index, capability, constants):
    """Compile a kernel, and return it; sizes have the type `index`."""
    signature, aligned = {}, {}
    for i, name in enumerate(kernel.arg_names):
        if name in constants:
            signature[name] = "constexpr"
        elif name == "seed_at":
            signature[name] = "*i64"
        elif name.endswith("_at"):
            signature[name] = f"*{dtype}" if name in TENSORS else "*fp32"
            aligned[(i,)] = [["tt.divisibility", 16]]
        else:
            signature[name] = SCALARS.get(name, index)
            if name == "n":
                aligned[(i,)] = [["tt.divisibility", 16]]
    source = compiler.ASTSource(kernel, signature, constants, attrs=aligned)
    target = GPUTarget("cuda", capability, 32)
    return triton.compile(source, target=target, options=OPTIONS)


@pytest.fixture(autouse=True)
def nothing_is_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))


@pytest.mark.parametrize("dtype", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize(("index", "capability"), [("i32", 80), ("i64", 90)])
def test_activation_and_dropout(dtype, index, capability):
    constants = {"NAME": "selu", "DROP": True, "PLACES": 1024}
    for kernel in (dropout.forward, dropout.backward):
        binary = compiled(kernel, dtype, index, capability, constants)
        assert binary.asm["cubin"]
        # Each element is read and written once, sixteen bytes at a time.
        assert "ld.global.v4.b32" in binary.asm["ptx"]
        assert "st.global.v4.b32" in binary.asm["ptx"]


@pytest.mark.parametrize("dtype", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("s", [1, None])
@pytest.mark.parametrize(("index", "capability"), [("i32", 80), ("i64", 90)])
def test_columns(dtype, s, index, capability):
    rows, width = columns.tile(1024, s or 49)
    tile = {"ROWS": rows, "COLUMNS": width, "INDEX": columns.index(2**40 * (s is None))}
    tile |= {"s": 1} if s == 1 else {}
    f = {"NAME": "gelu"}
    for kernel, constants in (
        (columns.moments, tile),
        (columns.combine, {"STRETCHES": 64}),
        (columns.forward, tile | f | {"AFFINE": True}),
        (columns.forward, tile | f | {"AFFINE": False}),
        (columns.sums, tile | f | {"AFFINE": True}),
        (columns.sums, tile | f | {"AFFINE": False}),
        (columns.backward, tile | f),
    ):
        assert compiled(kernel, dtype, index, capability, constants).asm["cubin"]


@pytest.mark.parametrize(
    "name", ["identity", "relu", "leaky_relu", "elu", "logistic", "tanh", "silu"]
)
def test_every_activation(name):
    constants = {"NAME": name, "DROP": False, "PLACES": 1024}
    for kernel in (dropout.forward, dropout.backward):
        assert compiled(kernel, "fp32", "i32", 90, constants).asm["cubin"]
