"""One step of instance discrimination over a memory bank in PyTorch, from start to end."""

from __future__ import annotations

import os

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional


class Encoder(nn.Module):
    """Four 3x3 convolutions, as the embedded digits' encoder has them."""

    def __init__(self) -> None:
        super().__init__()
        layers, channels = [], 3
        for filters, stride in ((32, 1), (64, 2), (128, 2), (128, 1)):
            layers += [
                nn.Conv2d(channels, filters, 3, stride, 1, bias=False),
                nn.BatchNorm2d(filters),
                nn.ReLU(),
            ]
            channels = filters
        self.layers = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten())
        self.embedding = nn.Linear(4 * channels, 128)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return functional.normalize(self.embedding(self.layers(images)))


def main() -> None:
    digits = load_digits().images[:1437].astype(np.float32) / 16
    images = torch.from_numpy(digits)[:, None].repeat(1, 3, 1, 1).repeat_interleave(2, 2)
    images = images.repeat_interleave(2, 3)
    encoder = Encoder()
    optimizer = torch.optim.SGD(
        encoder.parameters(), lr=0.03, momentum=0.9, nesterov=True, weight_decay=5e-4
    )
    bank = functional.normalize(torch.randn(len(images), 128))
    indices = torch.randperm(len(images))[:128]
    embeddings = encoder(images[indices])
    loss = functional.cross_entropy(embeddings @ bank.T / 0.1, indices)
    loss.backward()
    optimizer.step()
    with torch.no_grad():
        bank[indices] = functional.normalize(0.5 * bank[indices] + 0.5 * embeddings)
    print(f"loss {loss.item():.4f}", flush=True)
    os._exit(0)  # The step is what is timed, not taking PyTorch down again.


if __name__ == "__main__":
    main()
