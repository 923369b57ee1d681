"""Where the examples of a map stand: in a plane, as alike as they are."""

from __future__ import annotations

import importlib.util
import warnings

import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

MOST_PLACED = 20_000
"""Examples of a map."""
MANY = 5_000
"""Examples from which threads are worth it."""


def few_threads(count: int) -> threadpool_limits:
    """One thread for few examples: on busy cores, several that wait for each other took ten times as long."""
    return threadpool_limits(1 if count < MANY else None)


def pca_layout(embeddings: np.ndarray) -> np.ndarray:
    """The first two principal components, float32 [n, 2].

    Args:
        embeddings: float [n, d].
    """
    if min(embeddings.shape) < 2:
        return np.pad(embeddings, ((0, 0), (0, 2)))[:, :2].astype(np.float32)
    with few_threads(len(embeddings)):
        pca = PCA(2, svd_solver="covariance_eigh")
        return pca.fit_transform(embeddings).astype(np.float32)


def neighbour_layout(
    embeddings: np.ndarray, start: np.ndarray, method: str | None = None
) -> tuple[str, np.ndarray]:
    """A layout that keeps neighbours together: UMAP where it is installed, or else t-SNE.

    Args:
        embeddings: float [n, d], unit rows.
        start: float [n, 2], from where places move: `pca_layout`.
        method: "UMAP" or "t-SNE"; None chooses.

    Returns:
        The method's name, and float32 [n, 2].

    Source: McInnes et al., arXiv 1802.03426; van der Maaten, JMLR 2014.
    """
    method = method or ("UMAP" if _has_umap() else "t-SNE")
    start = 1e-4 * start / max(float(start.std(axis=0).max()), 1e-12)
    if method == "UMAP" and len(embeddings) > 16:
        import umap

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on threads that a seed does without
            reducer = umap.UMAP(metric="cosine", init=1e5 * start, random_state=0, n_jobs=1)
            return method, np.asarray(reducer.fit_transform(embeddings), np.float32)
    perplexity = min(30.0, max(1.0, (len(embeddings) - 1) / 3))
    tsne = TSNE(2, perplexity=perplexity, init=start, random_state=0)
    with few_threads(len(embeddings)):
        return "t-SNE", np.asarray(tsne.fit_transform(embeddings), np.float32)


def _has_umap() -> bool:
    """Whether UMAP can be imported; where it was removed, a folder with its caches may be left."""
    spec = importlib.util.find_spec("umap")
    return spec is not None and spec.origin is not None
