"""Everything that could make two trainings differ is set here, once, before user code runs."""

from __future__ import annotations

import random

__all__ = ["pin"]


def pin(threads: int, seed: int) -> None:
    """Fix torch's threads, choose deterministic algorithms, seed torch, numpy and random. For a fresh process."""
    import numpy as np
    import torch

    torch.set_num_threads(threads)
    if torch.get_num_interop_threads() != 1:
        torch.set_num_interop_threads(1)
    # "error" is use_deterministic_algorithms(True) without its import of the compiler stack, which costs seconds (torch 2.15)
    torch.set_deterministic_debug_mode("error")
    torch.backends.mkldnn.deterministic = True  # type: ignore[assignment]  # the stub shows the descriptor, not its value
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - user code may use the global generator; it must repeat
    random.seed(seed)
