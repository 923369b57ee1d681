"""The objective and its gradient to the embeddings in PyTorch: N, B, d, tau, layout [--memory]."""

from __future__ import annotations

import argparse

import torch
from torch.nn import functional

from benchmarks.memory import peak_megabytes
from benchmarks.peers import answer

Tensors = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


class Similarities(torch.autograd.Function):
    """Every logit of the batch, as the authors lay it out: one B x N matrix, kept by autograd."""

    @staticmethod
    def forward(context, embeddings, bank, temperature):
        context.bank, context.temperature = bank, temperature
        return embeddings.mm(bank.t()).div_(temperature)

    @staticmethod
    def backward(context, upstream):
        return upstream.div(context.temperature).mm(context.bank), None, None


def authors(embeddings, bank, positives, temperature) -> torch.Tensor:
    """Softmax of the whole matrix, then the positives' probabilities."""
    probabilities = functional.softmax(Similarities.apply(embeddings, bank, temperature), dim=1)
    return -probabilities.gather(1, positives).sum(dim=1).log().mean()


def plain(embeddings, bank, positives, temperature) -> torch.Tensor:
    """In log space, by PyTorch's own softmax: faster than `logsumexp`, whose backward is not fused."""
    log_probabilities = (embeddings / temperature).mm(bank.t()).log_softmax(dim=1)
    return -log_probabilities.gather(1, positives).logsumexp(dim=1).mean()


def case(rows: int, batch: int, dim: int) -> Tensors:
    generator = torch.Generator().manual_seed(0)
    bank = functional.normalize(torch.randn(rows, dim, generator=generator))
    embeddings = functional.normalize(torch.randn(batch, dim, generator=generator))
    positives = torch.stack([torch.arange(batch), torch.arange(batch) + rows - batch], dim=1)
    return embeddings.requires_grad_(), bank, positives


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers.objective")
    parser.add_argument("n", type=int)
    parser.add_argument("batch", type=int)
    parser.add_argument("dim", type=int)
    parser.add_argument("temperature", type=float)
    parser.add_argument("layout", choices=("plain", "authors"))
    parser.add_argument("--memory", action="store_true", help="print the peak memory instead")
    options = parser.parse_args()
    loss_of = {"plain": plain, "authors": authors}[options.layout]

    def run(embeddings, bank, positives) -> torch.Tensor:
        loss = loss_of(embeddings, bank, positives, options.temperature)
        return torch.autograd.grad(loss, embeddings)[0]

    tensors = case(options.n, options.batch, options.dim)
    if options.memory:
        run(*case(2 * options.batch, options.batch, options.dim))  # loads what PyTorch loads late
        print(peak_megabytes(lambda: run(*tensors)))
    else:
        answer(lambda: run(*tensors))


if __name__ == "__main__":
    main()
