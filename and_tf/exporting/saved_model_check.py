"""Answers of a SavedModel in a process of its own, loaded as TensorFlow Serving does it.

`python -m and_tf.exporting.saved_model_check VERSION_FOLDER RECORDS` replays PredictionLog records
without Keras and without ScaNN, and prints what it found as one line of JSON.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

# Operations that TensorFlow has and TensorFlow Serving cannot run: they call Python.
PYTHON_OPS = {"EagerPyFunc", "PyFunc", "PyFuncStateless"}


def main(arguments: list[str]) -> int:
    """Run the command.

    Returns:
        Exit code: 0. Whatever is wrong with the SavedModel raises.
    """
    folder, records = map(Path, arguments)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for module in ("keras", "tf_keras", "scann"):
        sys.modules[module] = None  # type: ignore[assignment]  # to import it fails from now on
    print(json.dumps(replay(folder, records)))
    return 0


def replay(folder: Path, records: Path) -> dict:
    """Load a SavedModel, and send it every record.

    Returns:
        `python_ops`: the operations in it that call Python. `signatures`: names. `differences`: of
        every record that states its outputs, [signature, alias, the greatest absolute difference,
        or whether strings are equal as 0.0 or null].
    """
    import numpy as np
    import tensorflow as tf

    from and_tf.exporting.prediction_logs import read_logs

    logs = read_logs(records)
    warm_up = folder / "assets.extra" / "tf_serving_warmup_requests"
    logs += read_logs(warm_up)
    differences = []
    graph = tf.Graph()
    with graph.as_default(), tf.compat.v1.Session(graph=graph) as session:
        loaded = tf.compat.v1.saved_model.loader.load(
            session, [tf.saved_model.SERVING], str(folder)
        )
        for log in logs:
            request, expected = log.predict_log.request, log.predict_log.response.outputs
            signature = loaded.signature_def[request.model_spec.signature_name]
            inputs = {
                signature.inputs[alias].name: tf.make_ndarray(value)
                for alias, value in request.inputs.items()
            }
            names = {alias: output.name for alias, output in signature.outputs.items()}
            answers = session.run(names, inputs)
            for alias, value in expected.items():
                wanted, got = tf.make_ndarray(value), answers[alias]
                if wanted.shape != got.shape:
                    difference = None
                elif wanted.dtype == object:
                    difference = 0.0 if np.array_equal(wanted, got) else None
                else:
                    difference = float(np.max(np.abs(wanted - got), initial=0.0))
                differences.append([request.model_spec.signature_name, alias, difference])
    graph_def = loaded.graph_def
    nodes = [*graph_def.node, *(n for f in graph_def.library.function for n in f.node_def)]
    return {
        "signatures": sorted(loaded.signature_def),
        "python_ops": sorted({node.op for node in nodes} & PYTHON_OPS),
        "differences": differences,
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
