"""A client of the embedded server and of stock TensorFlow Serving: images in, arrays out.

    with Client("http://localhost:8501", "svhn") as client:
        embeddings = client.embed(["a.jpg", "b.png"])

`Client` blocks, `AsyncClient` is for asyncio; an http or https URL speaks REST, grpc or grpcs gRPC.
Nothing here imports anything of the server's, and no other room imports this one.
"""

from __future__ import annotations

from serving.client.client import AsyncClient, Client
from serving.client.types import (
    Classes,
    ClientError,
    ModelMetadata,
    Neighbours,
    Retry,
    Signature,
    TaughtRow,
    TensorSpec,
    VersionStatus,
)

__all__ = [
    "AsyncClient",
    "Classes",
    "Client",
    "ClientError",
    "ModelMetadata",
    "Neighbours",
    "Retry",
    "Signature",
    "TaughtRow",
    "TensorSpec",
    "VersionStatus",
]
