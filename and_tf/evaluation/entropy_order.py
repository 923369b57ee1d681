"""Whether the curriculum's order, by entropy, is that of consistent neighbourhoods."""

from __future__ import annotations

import numpy as np
from sklearn import metrics


def order_quality(entropy: np.ndarray, shares: np.ndarray, steps: int = 20) -> dict | None:
    """Whether the rows of low entropy are those of consistent neighbourhoods, as the curriculum has it.

    Args:
        entropy: float [N], nats.
        shares: float [N], `consistent_shares`; NaN is left out.
        steps: Points of the curve.

    Returns:
        `auc`: the probability that a consistent neighbourhood (all of one class) has a lower entropy
        than another one, 0.5 for an order that knows nothing; None where all are consistent or none.
        `curve`: for 1/steps, 2/steps ... 1 of the rows, the most certain first, their mean share. None
        where no neighbourhood has labels.

    Source: section 3.2 of the AND paper, whose Eq. 6 takes rows in this order.
    """
    known = ~np.isnan(shares)
    if not known.any():
        return None
    entropy, shares = entropy[known], shares[known]
    whole = shares == 1
    order = np.argsort(entropy, kind="stable")
    taken = np.ceil(np.arange(1, steps + 1) / steps * len(order)).astype(int)
    means = np.cumsum(shares[order])[taken - 1] / taken
    auc = None if whole.all() or not whole.any() else float(metrics.roc_auc_score(whole, -entropy))
    return {"auc": auc, "curve": [float(mean) for mean in means]}
