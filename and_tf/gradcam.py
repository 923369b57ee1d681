"""Show where in images an encoder looks: `python -m and_tf.gradcam runs/svhn --images photos`."""

from __future__ import annotations

import argparse
import sys

from and_tf.errors import RunError
from and_tf.reporting.requests import run_at, writable, write_pages
from and_tf.runs.commands import (
    import_keras,
    positive,
    refusing_bad_input,
)
from and_tf.runs.config import load_config
from and_tf.runs.paths import expanded, shown


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m and_tf.gradcam",
        description="Show on one page where in images a run's encoder looks, round by round "
        "(Grad-CAM), from the checkpoints that train.keep_rounds keeps.",
        allow_abbrev=False,
    )
    parser.add_argument("run", metavar="RUN", help="run directory of and_tf.train")
    parser.add_argument("--images", metavar="DIR", required=True, help="folder of images")
    parser.add_argument(
        "--most", metavar="N", type=positive, default=24, help="images shown (default: 24)"
    )
    parser.add_argument(
        "--output",
        metavar="DIR",
        default="gradcam",
        help="folder for gradcam.html, gradcam.md and gradcam/ (default: gradcam)",
    )
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Run the command.

    Returns:
        Exit code: 0 done, 2 bad input, 130 stopped by Ctrl-C.
    """
    args = parse_arguments(arguments)
    return write_pages(lambda: gradcam(args), stopped="stopped; nothing was written")


def gradcam(args: argparse.Namespace) -> None:
    """Write the page.

    Raises:
        RunError: Bad input.
    """
    run = run_at(args.run)
    output = writable(expanded("--output", args.output), "gradcam.html")
    config = load_config(run.config)
    import_keras()
    from and_tf.exporting.rows import load_image_sets
    from and_tf.figures.page import Page, Picture, Section, write_page
    from and_tf.judging.from_run import kept_rounds
    from and_tf.reporting.attention import TARGET, attention_figure
    from and_tf.runs.checkpoints import read_model

    models = {f"round {number}": path for number, path in kept_rounds(run, config).items()}
    if not models:
        if not run.model.exists():
            raise RunError(
                f"The run has neither checkpoints of rounds nor a model. Received: {shown(run.path)}"
            )
        models = {"trained": run.model}
        print(
            "no checkpoints of rounds are kept (train.keep_rounds=true keeps them): the model alone"
        )
    encoder = read_model(next(iter(models.values())), compile=False).encoder
    folder = expanded("--images", args.images)
    if not folder.is_dir():
        raise RunError(f"--images must be a folder of images. Received: {shown(folder)}")
    with refusing_bad_input():
        (images,) = load_image_sets(config, str(folder), encoder.input_shape[1:])
    pixels = next(iter(images.ordered_batches(args.most))).numpy()
    names = (images.sources or [])[: len(pixels)]
    figure = attention_figure(pixels, models)
    look = f"heat on the object and not on its background. {TARGET}"
    page = Page(
        f"{config.name}: Grad-CAM",
        f"{len(pixels):,} of {images.num_examples:,} images of {args.images}.",
        [],
        [Section("Grad-CAM", look, [Picture("grad-cam", "Images, and their maps", figure)])],
        [f"From the top: {', '.join(names)}.", "Made by python -m and_tf.gradcam."],
    )
    output.mkdir(parents=True, exist_ok=True)
    print(f"The page: {shown(write_page(page, output, 'gradcam'))}")


if __name__ == "__main__":
    sys.exit(main())
