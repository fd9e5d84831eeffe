"""The package's names on ``torch.Tensor``, one module for each topic.

Write ``from companion.torch.activations import selu``, never ``from companion
import torch``, which would hide the library of that name.  Inside this folder
``import torch`` is always the library.
"""
