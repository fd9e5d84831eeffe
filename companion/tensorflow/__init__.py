"""The package's names on ``tf.Tensor``, one module for each topic.

Write ``from companion.tensorflow.activations import selu``, never ``from companion
import tensorflow``, which would hide the library of that name.  Inside this folder
``import tensorflow`` is always the library.

What a notebook prints is compared with what is stored, and TensorFlow greets every
start with lines that hold the time and name the hardware.  This package therefore
imports it first, in silence.  A script that wants the lines imports TensorFlow
before the package, with ``TF_CPP_MIN_LOG_LEVEL`` set.
"""

import contextlib
import importlib
import os
import sys

# 3 and not 2: without a GPU the first operation reports an *error* about CUDA.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def _import_in_silence(name):
    """Import a module while the process's standard error goes nowhere.

    TensorFlow's libraries write while they are loaded, before they read
    ``TF_CPP_MIN_LOG_LEVEL``, and to the file descriptor rather than ``sys.stderr``.
    An exception still comes through.
    """
    stderr = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        importlib.import_module(name)
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


if "tensorflow" not in sys.modules:
    # Triton comes with PyTorch's builds for NVIDIA GPUs, and is loaded when PyTorch
    # wants it.  After TensorFlow that would end the process, since both bring an LLVM.
    with contextlib.suppress(ImportError):
        importlib.import_module("triton")
    _import_in_silence("tensorflow")
