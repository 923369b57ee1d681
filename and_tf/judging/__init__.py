"""Judging a trained encoder: what is judged, the parts of an evaluation, and their comparison.

`and_tf.judging.loading.load_subject(path, ...)` gives a `Subject` of a run directory, of a `.keras` file, of an
exported version or of a file of embeddings. A `Subject` (`and_tf.judging.subject`) has `name`, `kind`, `path`,
`class_names`, and

- `train` and `test` (None where there is none), each a `Part`: `embeddings` float32 [n, d], unit rows;
  `features` float32 [n, F], the backbone's output before the embedding layer, unit rows, or None; `labels`
  int64 [n], -1 for none, or None; `sources`, a name for each row; `images(indices)` gives uint8 [m, H, W, 3];
- `bank` float32 [N, d], as training left it, in the order of `train`, or None;
- `encoder`, `config`, `run` (the run's directory) and `epochs` (how many it was trained for), where known;
- `rounds`, round to the checkpoint at its end, of those that `train.keep_rounds` kept;
  `and_tf.runs.checkpoints.read_model` loads one.

`and_tf.judging.evaluating.evaluate_subject(subject, only, path)` measures the parts, each `Findings` of figures,
settings and details, into one `Evaluation` (`and_tf.judging.evaluation`); `evaluate(model, train, test)` does it for
a model in memory. Nothing here draws.

Other rooms use `comparing`, `context`, `evaluating`, `evaluation`, `from_run`, `loading` and
`subject`.
"""

from __future__ import annotations

from and_tf.judging.evaluating import evaluate, evaluate_subject
from and_tf.judging.loading import load_subject

__all__ = ["evaluate", "evaluate_subject", "load_subject"]
