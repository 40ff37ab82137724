"""One thread a worker: the matrices here are small, and workers run side by side."""

import torch

torch.set_num_threads(1)
