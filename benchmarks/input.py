"""Images into a training step: `python -m benchmarks.input --source folder --size 224 --augment`.

Ours: batches of an `ImageSet`'s training stream, and with `--augment` their augmentation, as a
training step gets them. Peer: PyTorch's DataLoader with one worker a core over the same images,
with the authors' transforms in Pillow. From 64 pixels on, augmented images are cut at random from
the whole photograph; `--square` cuts them from its central square instead, in the step. Floor: for files and records, decoding alone; for arrays,
copying a batch's pixels; for augmentation alone, reading them as uint8 and writing them as float32.
"""

from __future__ import annotations

import io
import os
import resource
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from benchmarks.measuring import Comparison, Seconds, paired, parser, peer, report
from benchmarks.photographs import photograph, write_photographs

AHEAD = 8  # Batches that are drawn before timing: more than either side fetches ahead.


def main() -> None:
    options = parser("input", __doc__.splitlines()[0], repeats=5)
    options.add_argument(
        "--source",
        choices=("augmentation", "digits", "arrays", "tfds", "folder"),
        default="augmentation",
        help="augmentation: of one batch that is there already (default)",
    )
    options.add_argument("--n", type=int, default=400, help="images of a set that is made up")
    options.add_argument("--batch", type=int, default=128)
    options.add_argument("--batches", type=int, default=20, help="batches of one timed run")
    options.add_argument("--size", type=int, default=32, help="side in pixels")
    options.add_argument("--augment", action="store_true", help="augment the batches, too")
    options.add_argument("--square", action="store_true", help="cut from the central square")
    options.add_argument("--name", default="cifar10", help="the TFDS builder, with --data-dir")
    options.add_argument("--data-dir", help="prepared TFDS sets; without it, one is made up")
    args = options.parse_args()
    augment = args.augment or args.source == "augmentation"

    with tempfile.TemporaryDirectory() as folder:
        next_batch, floor, peer_source = _contenders(args, Path(folder), augment)
        cores = len(os.sched_getaffinity(0))
        peer_options = (peer_source, args.size, args.batch, args.batches, cores, int(augment))
        with peer("input", *peer_options) as other:
            resident = []

            def ours() -> Seconds:
                for _ in range(0 if args.source == "augmentation" else AHEAD):
                    next_batch()
                start = time.perf_counter()
                for _ in range(args.batches):
                    next_batch()
                elapsed = time.perf_counter() - start
                # What is fetched ahead again must not run into the next side's time.
                time.sleep(AHEAD * elapsed / args.batches)
                resident.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
                return Seconds(elapsed)

            seconds = paired({"ours": ours, "peer": other, "floor": floor}, args.repeats)
    images = args.batch * args.batches
    case = f"Input: {args.source}, {images:,} images at {args.size} px, batch {args.batch}"
    comparison = Comparison.of(
        case + (", augmented" if augment else ""),
        seconds,
        **{f"{name} images/s": images / float(np.median(runs)) for name, runs in seconds.items()},
        peak_memory_growth_mb=resident[-1] - resident[1 if args.repeats > 1 else 0],
    )
    report(comparison, args.json)


def _contenders(args, folder: Path, augment: bool) -> tuple[Callable, Callable, Path]:
    """What gives one batch, the floor for all batches of a run, and what the peer reads."""
    import tensorflow as tf

    from and_tf import Augment, data
    from and_tf.data.whole_crop import WholeCrop

    rng = np.random.default_rng(0)
    augmented = tf.function(Augment(flip=args.size >= 64), autograph=False)
    images = args.batch * args.batches

    if args.source == "augmentation":
        pixels = rng.integers(0, 256, (args.batch, args.size, args.size, 3), np.uint8)
        np.save(folder / "images.npy", pixels)
        batch, indices = tf.constant(pixels), tf.range(args.batch)
        cast = tf.function(lambda: tf.cast(batch, tf.float32), autograph=False)
        seen = tf.zeros([args.batch], tf.int32)
        return (
            lambda: augmented(batch, indices, seen, 0),
            lambda: [cast() for _ in range(args.batches)] and None,
            folder / "images.npy",
        )

    if args.source in ("digits", "arrays"):
        if args.source == "digits":
            image_set, _ = data.load("digits", image_size=args.size)
        else:
            shape = (args.n, args.size, args.size, 3)
            image_set = data.from_arrays(rng.integers(0, 256, shape, np.uint8))
        peer_source = folder / "images.npy"
        np.save(peer_source, image_set.images)

        def floor() -> None:
            for _ in range(args.batches):
                np.take(image_set.images, rng.integers(0, len(image_set), args.batch), axis=0)

    else:
        peer_source = folder / "files"
        if args.source == "folder":
            write_photographs(peer_source, args.n)
            image_set, _ = data.load(
                "folder", path=str(peer_source), image_size=args.size, in_memory=False
            )
        else:
            name, data_dir = args.name, args.data_dir
            if data_dir is None:
                name, data_dir = "photographs", str(folder / "tfds")
                _prepare_photographs(data_dir, args.n)
            image_set, _ = data.load(
                "tfds",
                name=name,
                data_dir=data_dir,
                image_size=args.size,
                test_split=None,
                in_memory=False,
            )
            _write_encoded(name, data_dir, peer_source, args.n)
        encoded = [file.read_bytes() for file in sorted(peer_source.iterdir())]

        def floor() -> None:
            with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
                list(pool.map(_decode, (encoded[i % len(encoded)] for i in range(images))))

    crop = None
    if augment and image_set.crops_whole and not args.square:
        crop = WholeCrop((0.2, 1.0), (3 / 4, 4 / 3))
        augmented = tf.function(Augment(crop_scale=None, flip=True), autograph=False)
    stream = iter(image_set.training_batches(args.batch, seed=0, crop=crop))

    def next_batch() -> tf.Tensor:
        batch, indices = next(stream)
        return augmented(batch, indices, tf.zeros_like(indices), 0) if augment else batch

    return next_batch, floor, peer_source


def _decode(encoded: bytes) -> None:
    from PIL import Image

    with Image.open(io.BytesIO(encoded)) as image:
        image.load()


def _prepare_photographs(data_dir: str, count: int) -> None:
    """A TFDS set of made-up photographs."""
    import tensorflow_datasets as tfds

    class Photographs(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            image = tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg")
            features = tfds.features.FeaturesDict({"image": image})
            return tfds.core.DatasetInfo(builder=self, features=features)

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples()}

        def _generate_examples(self):
            for number in range(count):
                encoded = io.BytesIO()
                photograph(number).save(encoded, format="JPEG", quality=90)
                encoded.seek(0)
                yield number, {"image": encoded}

    tfds.disable_progress_bar()
    Photographs(data_dir=data_dir).download_and_prepare()


def _write_encoded(name: str, data_dir: str, folder: Path, count: int) -> None:
    """The first images of a TFDS set as files, as they are encoded there."""
    import tensorflow_datasets as tfds

    folder.mkdir()
    builder = tfds.builder(name, data_dir=data_dir)
    decoders = {"image": tfds.decode.SkipDecoding()}
    examples = builder.as_dataset(split="train", decoders=decoders).take(count)
    for number, example in enumerate(examples.as_numpy_iterator()):
        (folder / f"{number:06}").write_bytes(example["image"])


if __name__ == "__main__":
    main()
