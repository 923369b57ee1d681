"""What an export answers: its signatures, by name, with what goes in and what comes out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import keras
import tensorflow as tf

from and_tf.exporting.image_bytes import decode_images
from and_tf.exporting.row_bank import RowBank

OUTPUTS = {
    "embedding": "unit vector of each image; the dot product of two is their cosine similarity",
    "classes": "names of the classes that the nearest labelled rows vote for, best first",
    "scores": "share of the vote of each of `classes`; those of all classes sum to one",
    "ids": "which rows are nearest, nearest first: the index in the export's rows, or the id of a "
    "row that was taught",
    "similarities": "cosine similarity to each of `ids`",
    "labels": "name of each row's class, empty where it has none",
    "label_ids": "number of each row's class, -1 where it has none",
    "sources": "where each row comes from: a file, or SET:INDEX",
}


@dataclasses.dataclass(frozen=True)
class Signature:
    """One signature.

    Attributes:
        function: From the one input to a dict of outputs.
        input_name: Its alias.
        k: How many answers an image gets; None where it gets one.
        description: For whoever calls it.
        inputs: Alias to description.
    """

    function: tf.types.experimental.PolymorphicFunction
    input_name: str
    k: int | None
    description: str
    input_description: str


class Exported:
    """Everything that an export stores, each variable once, and its signatures.

    Args:
        encoder: From uint8 [B, H, W, 3] to unit vectors float32 [B, d].
        image_size: The run's `data.image_size`, see `decode_images`.
        bank: None exports the encoder alone.
        classify: Whether classes are voted for: some rows have labels.
        neighbours: k of `neighbours`.
        top: k of `classify`.
    """

    def __init__(
        self,
        encoder: keras.Model,
        image_size: int | None,
        bank: RowBank | None,
        classify: bool,
        neighbours: int,
        top: int,
    ) -> None:
        self.bank = bank
        # The variables themselves: tracking the Keras model would add what serving never reads.
        self._weights = [weight.value for weight in encoder.weights]
        image_shape = encoder.input_shape[1:]
        images = tf.TensorSpec([None, *image_shape], tf.uint8, name="images")
        image_bytes = tf.TensorSpec([None], tf.string, name="image_bytes")
        embedding = tf.TensorSpec([None, encoder.output_shape[-1]], tf.float32, name="embedding")

        # Traced once, here, and shared by all signatures: first called within one, each would be
        # traced twice.
        def traced(function: Callable[[tf.Tensor], tf.Tensor], spec: tf.TensorSpec) -> Callable:
            return tf.function(function, autograph=False).get_concrete_function(spec)

        embed = traced(lambda x: tf.cast(encoder(x, training=False), tf.float32), images)
        decode = traced(lambda x: decode_images(x, image_shape, image_size), image_bytes)

        height, width = image_shape[:2]
        pixels = f"pixels 0 to 255, RGB, uint8, {height} x {width}"
        files = f"JPEG, PNG, BMP, WebP or GIF files of any size; resized to {height} x {width}"
        vectors = "embeddings, as `embed` gives them, or sums of them: any length but zero"
        self.signatures: dict[str, Signature] = {}

        def add(name: str, k: int | None, what: str, answer: Callable) -> None:
            def of_images(images: tf.Tensor) -> dict[str, tf.Tensor]:
                return answer(embed(images))

            def of_bytes(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
                return answer(embed(decode(image_bytes)))

            def of_embedding(embedding: tf.Tensor) -> dict[str, tf.Tensor]:
                return answer(tf.math.l2_normalize(embedding, axis=1))

            kinds: list[tuple[str, Callable, tf.TensorSpec, str]] = [
                ("", of_images, images, pixels),
                ("_bytes", of_bytes, image_bytes, files),
            ]
            if name != "embed":
                kinds.append(("_embedding", of_embedding, embedding, vectors))
            for suffix, function, spec, given in kinds:
                self.signatures[name + suffix] = Signature(
                    tf.function(function, input_signature=[spec], autograph=False),
                    spec.name,
                    k,
                    what,
                    given,
                )

        add("embed", None, "the embedding of each image", lambda x: {"embedding": x})
        if bank is not None:
            add(
                "neighbours",
                neighbours,
                f"the {neighbours} nearest rows of each image",
                lambda x: bank.neighbours(x, neighbours),
            )
            if classify:
                add(
                    "classify",
                    top,
                    f"the {top} likeliest classes of each image, by weighted kNN",
                    lambda x: bank.classify(x, top),
                )
        self.signatures["serving_default"] = self.signatures["embed"]

    def save(self, path: str) -> None:
        """Write the SavedModel to a folder.

        Raises:
            OSError, tf.errors.OpError: It cannot be written.
        """
        stored = tf.Module()
        stored.weights, stored.bank = self._weights, self.bank
        tf.saved_model.save(
            stored,
            path,
            {name: signature.function for name, signature in self.signatures.items()},
            tf.saved_model.SaveOptions(experimental_custom_gradients=False),
        )
