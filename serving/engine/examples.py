"""tf.Examples of a Classify or Regress request, as a signature takes them."""

from __future__ import annotations

import numpy as np
from tensorflow_serving.apis import input_pb2


def serialized(request_input: input_pb2.Input) -> np.ndarray:
    """The serialized tf.Examples of an Input: bytes objects, shape [examples].

    A context is part of each example; where both hold a feature, the example's counts.
    """
    context = b""
    if request_input.WhichOneof("kind") == "example_list_with_context":
        examples = request_input.example_list_with_context.examples
        context = request_input.example_list_with_context.context.SerializeToString()
    else:
        examples = request_input.example_list.examples
    array = np.empty(len(examples), dtype=object)
    # Serialized messages that follow each other parse as one, merged (protobuf's encoding guide).
    array[:] = [context + example.SerializeToString() for example in examples]
    return array
