"""One training step of AND in PyTorch: ResNet18 for 32 pixels, bank, objective and SGD.

`--layout authors` is how the authors' code runs it (contiguous NCHW, the whole B x N matrix in an
autograd function of its own); `--layout channels_last` is PyTorch at its best, with `--precision
bfloat16` under autocast. Images come augmented, as from workers.
"""

from __future__ import annotations

import argparse

import torch
from torch import nn
from torch.nn import functional

from benchmarks.peers import answer


class Block(nn.Module):
    def __init__(self, channels: int, filters: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, filters, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(filters)
        self.conv2 = nn.Conv2d(filters, filters, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(filters)
        self.shortcut = nn.Sequential()
        if stride != 1 or channels != filters:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels, filters, 1, stride, bias=False), nn.BatchNorm2d(filters)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = functional.relu(self.bn1(self.conv1(x)), inplace=True)
        return functional.relu(self.bn2(self.conv2(y)) + self.shortcut(x), inplace=True)


def resnet18(embedding_dim: int) -> nn.Module:
    layers: list[nn.Module] = [
        nn.Conv2d(3, 64, 3, 1, 1, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(inplace=True),
    ]
    channels = 64
    for filters, first_stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        for stride in (first_stride, 1):
            layers.append(Block(channels, filters, stride))
            channels = filters
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, embedding_dim)
    )


class BankProduct(torch.autograd.Function):
    """Logits of a batch against the bank, whose rows move towards the batch in the backward pass."""

    @staticmethod
    def forward(ctx, embeddings, bank, indices, temperature):
        ctx.save_for_backward(embeddings, bank, indices)
        ctx.temperature = temperature
        return embeddings.mm(bank.t()).div_(temperature)

    @staticmethod
    def backward(ctx, gradient):
        embeddings, bank, indices = ctx.saved_tensors
        to_embeddings = gradient.div(ctx.temperature).mm(bank)
        rows = bank.index_select(0, indices).mul_(0.5).add_(embeddings, alpha=0.5)
        bank.index_copy_(0, indices, functional.normalize(rows))
        return to_embeddings, None, None, None


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--n", type=int, default=50_000)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--layout", choices=("authors", "channels_last"), default="channels_last")
    options = parser.parse_args()

    torch.manual_seed(0)
    model = resnet18(128)
    images = torch.randn(options.batch, 3, 32, 32)
    if options.layout == "channels_last":
        model = model.to(memory_format=torch.channels_last)
        images = images.to(memory_format=torch.channels_last)
    bank = functional.normalize(torch.randn(options.n, 128))
    neighbours = torch.randint(options.n, (options.n,))
    optimizer = torch.optim.SGD(
        model.parameters(), lr=0.03, momentum=0.9, nesterov=True, weight_decay=5e-4
    )

    def step() -> None:
        indices = torch.randperm(options.n)[: options.batch]
        with torch.autocast("cpu", torch.bfloat16, enabled=options.precision == "bfloat16"):
            features = model(images)
        embeddings = functional.normalize(features.float())
        probabilities = BankProduct.apply(embeddings, bank, indices, 0.1).softmax(dim=1)
        rows = torch.arange(options.batch)
        positive = probabilities[rows, indices] + probabilities[rows, neighbours[indices]]
        loss = -positive.log().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    answer(step)


if __name__ == "__main__":
    main()
