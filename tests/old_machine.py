"""Print the settings that make this machine compute like an old one with one core.

``elsewhere.py`` uses them: one thread, and none of the newer instructions for which
NumPy, OpenBLAS, PyTorch, oneDNN and the C library have code.
"""

import platform

from numpy._core import _multiarray_umath as numpy_build

THREADS = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
}
X86 = {
    "ATEN_CPU_CAPABILITY": "default",
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX,-AVX2,-AVX512F,-FMA,-FMA4",
    "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "OPENBLAS_CORETYPE": "Nehalem",
    "TF_ENABLE_ONEDNN_OPTS": "0",
}


def settings():
    """Return the environment variables by name."""
    # NumPy warns of features that the machine lacks, so only those it has are named.
    has = numpy_build.__cpu_features__
    newer = [name for name in numpy_build.__cpu_dispatch__ if has[name]]
    chosen = dict(THREADS)
    if platform.machine() in ("x86_64", "AMD64"):
        chosen |= X86
    if newer:
        chosen["NPY_DISABLE_CPU_FEATURES"] = ",".join(newer)
    return chosen


if __name__ == "__main__":
    print(*(f"{name}={value}" for name, value in settings().items()))
