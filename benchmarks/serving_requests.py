"""The same image to a signature of an export: as arrays, and as the JSON of a REST request."""

from __future__ import annotations

import base64
import io
import json

import numpy as np
from PIL import Image


def png(size: int, seed: int = 0) -> bytes:
    """A PNG of random colours, size x size."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size, size, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def array_inputs(signature: str, image: bytes, batch: int) -> dict[str, np.ndarray]:
    """The inputs of a call with so many copies of an encoded image."""
    if signature.endswith("_bytes"):
        return {"image_bytes": np.array([image] * batch, object)}
    pixels = np.asarray(Image.open(io.BytesIO(image)))
    return {"images": np.repeat(pixels[np.newaxis], batch, axis=0)}


def json_body(signature: str, image: bytes) -> bytes:
    """The body of a predict request with one image."""
    if signature.endswith("_bytes"):
        instance = {"b64": base64.b64encode(image).decode()}
    else:
        instance = np.asarray(Image.open(io.BytesIO(image))).tolist()
    body = {"signature_name": signature, "instances": [instance]}
    return json.dumps(body, separators=(",", ":")).encode()
