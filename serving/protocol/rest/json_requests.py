"""Bodies of predict, classify and regress requests, read in one go: see `protocol.work`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef

from serving.errors import invalid
from serving.protocol.request_checks import DEFAULT_SIGNATURE, Limits, Question, checked
from serving.protocol.rest import json_examples, json_tensors, json_text


def read_predict(
    body: bytes, signatures: Mapping[str, SignatureDef], limits: Limits
) -> tuple[Question, bool]:
    """What a predict request asks a model with these signatures, and whether it is in rows.

    Raises:
        ServingError: INVALID_ARGUMENT for what is no such request, UNIMPLEMENTED for dtypes that
            JSON has no values for.
    """
    document = json_text.parse(body)
    name = json_tensors.read_signature_name(document) or DEFAULT_SIGNATURE
    if name not in signatures:
        raise invalid(f'Serving signature name: "{name}" not found in signature def')
    if not signatures[name].inputs:
        raise invalid(f"Failed to get input map for signature: {name}")
    inputs, in_rows = json_tensors.read_inputs(document, signatures[name].inputs)
    return checked(name, signatures[name], inputs, limits), in_rows


def read_examples(body: bytes) -> tuple[str, np.ndarray]:
    """The signature that a classify or regress request names, or "", and its examples: bytes [N].

    Raises:
        ServingError: INVALID_ARGUMENT for what is no such request.
    """
    document = json_text.parse(body)
    return json_tensors.read_signature_name(document), json_examples.read_examples(document)
