"""From a memory bank to every example's neighbours (Eq. 1) and entropy (Eq. 5).

One call, `discover`, stands before two ways to search: exactly, and with ScaNN. Nothing here knows of
encoders or of training: a bank goes in, whole or in shards, and arrays come out.

Other rooms use `neighbourhoods`, `scann_search` and `search_progress`.
"""

from __future__ import annotations

from and_tf.discovery.logits import entropy_of_sums
from and_tf.discovery.neighbourhoods import discover

__all__ = ["discover", "entropy_of_sums"]
