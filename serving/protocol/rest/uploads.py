"""Images as the body of a request, as they are: one, or several as `multipart/form-data`."""

from __future__ import annotations

import email.message

import numpy as np
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef

from serving.errors import ServingError, invalid
from serving.protocol.request_checks import (
    SLOW_PIXELS,
    Limits,
    Question,
    check_inputs,
    check_total,
)

# What may be asked of them; the signature of a model has the same name with `_bytes`.
VERBS = frozenset({"embed", "classify", "neighbours"})
MOST_IMAGES = 64


def is_upload(content_type: str) -> bool:
    """Whether a Content-Type header announces images."""
    kind = content_type.partition(";")[0].strip().lower()
    return kind.startswith("image/") or kind == "multipart/form-data"


def read_images(content_type: str, body: bytes) -> list[bytes]:
    """The images of a body.

    Raises:
        ServingError: INVALID_ARGUMENT for a body without any, with too many, or one that is not
            what its Content-Type says.
    """
    message = email.message.Message()
    message["Content-Type"] = content_type
    images = [body] if message.get_content_maintype() != "multipart" else _parts(message, body)
    if not images or not all(images):
        raise invalid("Expected an image as the body, or images as parts of multipart/form-data")
    if len(images) > MOST_IMAGES:
        raise invalid(f"At most {MOST_IMAGES} images a request. Received: {len(images)}")
    return images


def _parts(message: email.message.Message, body: bytes) -> list[bytes]:
    """The contents of a multipart body (RFC 2046, section 5.1.1)."""
    boundary = message.get_boundary()
    if not boundary:
        raise invalid("The Content-Type multipart/form-data needs a boundary")
    delimiter = b"\r\n--" + boundary.encode("latin-1", "replace")
    _, *parts = (b"\r\n" + body).split(delimiter)
    end = next((i for i, part in enumerate(parts) if part.startswith(b"--")), None)
    contents = [part.partition(b"\r\n\r\n") for part in parts[:end]]
    if end is None or not all(separator for _, separator, _ in contents):
        raise invalid("The body is not multipart/form-data, or ends too early")
    return [content for _, _, content in contents]


def read_questions(
    content_type: str, body: bytes, name: str, signature: SignatureDef, limits: Limits
) -> list[Question | ServingError]:
    """What each image of a body asks the signature called `name`, or why it cannot be asked.

    Raises:
        ServingError: as of `read_images`, and INVALID_ARGUMENT for more pixels than a request may
            have, or a signature that does not take one string a row.
    """
    if [info.dtype for info in signature.inputs.values()] != [types_pb2.DT_STRING]:
        raise invalid(f"The signature {name} takes no encoded images")
    (alias,) = signature.inputs
    questions: list[Question | ServingError] = []
    total = 0
    for image in read_images(content_type, body):
        inputs = {alias: np.array([image], object)}
        try:
            pixels = check_inputs(name, signature, inputs, limits)
        except ServingError as error:
            questions.append(without_row(error))
        else:
            total += pixels
            questions.append(Question(name, inputs, (), slow=pixels > SLOW_PIXELS))
    check_total(total, limits)
    return questions


def without_row(error: ServingError) -> ServingError:
    """The error of a request of one image, which is always in row 0."""
    return ServingError(error.code, error.message.removeprefix("Row 0: "))
