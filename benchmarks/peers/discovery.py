"""Discovery in PyTorch: `python -m benchmarks.peers.discovery BANK.npy TEMPERATURE K MODE`.

MODE "authors" follows the algorithm of the AND paper's code: a pass over all rows for the entropies,
a loop over the examples that gives each its place in the order, and a second pass for the
neighbours. MODE "blocks" is PyTorch at its best: one pass over blocks of the product.
"""

from __future__ import annotations

import sys

import numpy as np
import torch

from benchmarks.peers import answer

AUTHORS_BATCH = 100
BLOCK = 4096


def authors(bank: torch.Tensor, temperature: float, neighbours: int) -> torch.Tensor:
    """Entropies of every batch of rows, positions one by one, then the anchors' neighbours."""
    entropies = []
    for rows in bank.split(AUTHORS_BATCH):
        p = torch.softmax(rows @ bank.T / temperature, dim=1)
        entropies.append(-(p * p.log()).sum(dim=1))
    order = torch.cat(entropies).argsort()
    position = torch.zeros(len(bank), dtype=torch.long)
    for place, example in enumerate(order):
        position[example] = place
    anchors = torch.arange(len(bank))[position < len(bank)]  # of the last round: all
    found = []
    for rows in anchors.split(AUTHORS_BATCH):
        similarities = bank[rows] @ bank.T
        found.append(similarities.topk(neighbours + 1, dim=1).indices[:, 1:])
    return torch.cat(found)


def blocks(bank: torch.Tensor, temperature: float, neighbours: int) -> torch.Tensor:
    """One pass: log-sum-exp and mean logit of a block of rows, and its topk."""
    found, entropies = [], []
    for rows in bank.split(BLOCK):
        similarities = rows @ bank.T
        found.append(similarities.topk(neighbours + 1, dim=1).indices[:, 1:])
        logits = similarities.div_(temperature).sub_(1 / temperature)
        powers = logits.exp()
        total = powers.sum(dim=1)
        entropies.append(total.log() - powers.mul_(logits).sum(dim=1) / total)
    return torch.cat(found)


def main() -> None:
    file, temperature, neighbours, mode = sys.argv[1:]
    bank = torch.from_numpy(np.load(file))
    search = {"authors": authors, "blocks": blocks}[mode]
    with torch.inference_mode():
        answer(lambda: search(bank, float(temperature), int(neighbours)))


if __name__ == "__main__":
    main()
