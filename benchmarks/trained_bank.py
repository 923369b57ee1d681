"""A large bank of trained embeddings: `python -m benchmarks.trained_bank RUN --out bank.npy`.

Random views of the images of TensorFlow Datasets, as training draws them, go through a trained
encoder: view v of image i is row v * images + i. Views of one image lie near each other, as near
copies in a large set do; a set of as many different images would be better and is not at hand.

python -m and_tf.train --config configs/svhn.json --data-dir DATA --set encoder.name=conv4 \
    --set train.batch_size=32 --set curriculum.initial_epochs=8 --set curriculum.epochs_per_round=4 \
    --run-dir runs/svhn
python -m benchmarks.trained_bank runs/svhn --data-dir DATA --n 200000 --out bank.npy
python -m benchmarks.discovery --bank bank.npy --n 200000 --searcher scann --check
"""

from __future__ import annotations

import argparse
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from tqdm import tqdm

import and_tf  # noqa: F401  registers the saved classes

BATCH = 1000


def load_images(names: list[str], data_dir: str | None) -> np.ndarray:
    """uint8 [n, 32, 32, 3], the train and test splits of each data set."""
    return np.concatenate(
        [
            np.asarray(tfds.load(name, split=split, data_dir=data_dir, batch_size=-1)["image"])
            for name in names
            for split in ("train", "test")
        ]
    )


def embed_views(model: keras.Model, images: np.ndarray, num_rows: int) -> np.ndarray:
    """float32 [num_rows, d], unit rows: the first view of every image, then the second, ..."""
    encode = tf.function(lambda views: model.encoder(views, training=False))
    rows = []
    for start in tqdm(range(0, num_rows, BATCH), unit="batch", disable=None):
        view, image = np.divmod(np.arange(start, min(start + BATCH, num_rows)), len(images))
        views = model.augment(
            tf.constant(images[image]),
            tf.constant(image, tf.int32),
            tf.constant(view, tf.int32),
            model.seed,
        )
        rows.append(encode(views).numpy())
    return np.concatenate(rows)


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m benchmarks.trained_bank")
    options.add_argument("run", type=Path, help="run directory of a trained model")
    options.add_argument("--n", type=int, default=200_000, help="rows")
    options.add_argument("--data", nargs="+", default=["svhn_cropped", "cifar10"], metavar="NAME")
    options.add_argument("--data-dir", help="where TensorFlow Datasets lie")
    options.add_argument("--out", type=Path, required=True, help="the .npy file to write")
    arguments = options.parse_args()
    model = keras.models.load_model(arguments.run / "model.keras")
    images = load_images(arguments.data, arguments.data_dir)
    np.save(arguments.out, embed_views(model, images, arguments.n))


if __name__ == "__main__":
    main()
