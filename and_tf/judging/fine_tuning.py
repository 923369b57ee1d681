"""The whole encoder trained on with few labels: an option, since it takes longest."""

from __future__ import annotations

import keras
import numpy as np

from and_tf.evaluation.few_labels import draw
from and_tf.judging.context import SEED, Context
from and_tf.judging.embedding import EMBEDDING_LAYER
from and_tf.judging.findings import Figure, Findings, NothingToMeasure

SHARES = {"1%": 0.01, "10%": 0.1}
RATE = 0.03
BATCH = 64
EPOCHS = 30
FEWEST_STEPS = 300


def fine_tuning(context: Context) -> Findings:
    """Accuracy after all weights were trained on 1% and 10% of the labels, with a new last layer."""
    subject = context.subject
    if subject.encoder is None or subject.train.image_set is None:
        raise NothingToMeasure("fine-tuning needs the encoder and its images")
    (labels, truth), (fit, test) = context.labels(), context.split()
    found = Findings(
        settings={
            "optimizer": "SGD, Nesterov's momentum 0.9, half cosine",
            "learning_rate": RATE,
            "batch_size": BATCH,
            "epochs": EPOCHS,
            "fewest_steps": FEWEST_STEPS,
            "augmentation": None,
            "draws": 1,
        }
    )
    queries, classes = subject.judged.images(test), int(max(labels.max(), truth.max())) + 1
    for done, (name, share) in enumerate(SHARES.items()):
        chosen = draw(labels[fit], share, SEED)
        if chosen is None:
            found.notes.append(f"{name}: no class has more labelled images than that.")
            continue
        rows = fit[chosen]
        model = fine_tuned(subject.encoder, subject.train.images(rows), labels[rows], classes)
        predicted = model.predict(queries, batch_size=256, verbose=0).argmax(axis=1)
        found.figures[f"fine-tuned on {name}"] = Figure(float(np.mean(predicted == truth[test])))
        found.details[name] = {"images": len(rows)}
        context.progress((done + 1) / len(SHARES))
    return found


def fine_tuned(
    encoder: keras.Model, images: np.ndarray, labels: np.ndarray, classes: int
) -> keras.Model:
    """A copy of an encoder, with a softmax in place of its embedding, trained on labelled images.

    Args:
        encoder: Stays as it is.
        images: uint8 [n, H, W, 3].
        labels: int [n].
        classes: C.

    Returns:
        From images to the logits of the classes [n, C].
    """
    copy = keras.models.clone_model(encoder)
    copy.set_weights(encoder.get_weights())
    has_embedding = any(layer.name == EMBEDDING_LAYER for layer in copy.layers)
    features = copy.get_layer(EMBEDDING_LAYER).input if has_embedding else copy.output
    logits = keras.layers.Dense(classes, kernel_initializer="zeros", dtype="float32")(features)
    model = keras.Model(copy.input, logits)
    steps = -(-len(images) // BATCH)
    epochs = max(EPOCHS, -(-FEWEST_STEPS // steps))
    rate = keras.optimizers.schedules.CosineDecay(RATE, epochs * steps)
    model.compile(
        keras.optimizers.SGD(rate, momentum=0.9, nesterov=True),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    keras.utils.set_random_seed(SEED)  # of the order
    model.fit(images.astype(np.float32), labels, BATCH, epochs, verbose=0)
    return model
