"""Export a trained run for serving: `python -m and_tf.export runs/svhn --output export/svhn`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from and_tf.errors import RunError
from and_tf.runs.commands import (
    add_overrides,
    import_keras,
    positive,
    refusing_bad_input,
    run_command,
)
from and_tf.runs.config import RunConfig, load_config
from and_tf.runs.paths import expanded, shown
from and_tf.runs.resuming import check_same_config
from and_tf.runs.run_directory import RunDirectory

if TYPE_CHECKING:
    import keras

    from and_tf.data.image_set import ImageSet


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m and_tf.export",
        description="Export the encoder of a run as the next numbered version of a SavedModel, "
        "with its neighbours and kNN classes, for TensorFlow Serving and for `python -m serving`.",
        allow_abbrev=False,
    )
    parser.add_argument("run_dir", metavar="RUN_DIR", help="run directory of and_tf.train")
    parser.add_argument(
        "--output",
        metavar="DIR",
        help="folder of all versions (default: export/NAME, or export/NAME-FORMAT)",
    )
    parser.add_argument(
        "--format",
        choices=("savedmodel", "onnx", "litert"),
        default="savedmodel",
        help="savedmodel (default), or onnx or litert: a file with the encoder alone",
    )
    parser.add_argument(
        "--rows",
        metavar="WHICH",
        help="images to compare with: train, test or all of the run's, none, or a folder of images "
        "(default: train)",
    )
    parser.add_argument(
        "--labels", metavar="FILE", help="CSV with the columns file,label that labels the rows"
    )
    parser.add_argument(
        "--neighbours",
        metavar="K",
        type=positive,
        default=10,
        help="rows that `neighbours` answers (default: 10)",
    )
    parser.add_argument(
        "--top",
        metavar="K",
        type=positive,
        default=5,
        help="classes that `classify` answers (default: 5)",
    )
    parser.add_argument(
        "--thumbnails",
        action="store_true",
        help="store the rows' images at 48 pixels, 64 MiB at most, for the server's page",
    )
    add_overrides(
        parser,
        "where the run's images lie now, such as data.path=images, or how its rows vote, such "
        "as evaluation.knn_neighbours=200",
    )
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Run the command.

    Returns:
        Exit code: 0 done, 2 bad input, 130 stopped by Ctrl-C.
    """
    args = parse_arguments(arguments)
    return run_command(
        lambda: export_as_asked(args),
        stopped="stopped; nothing was exported",
        full_disk="No space left on the disk of --output; nothing was exported",
        memory="Not enough memory; nothing was exported. Choose fewer --rows",
    )


def export_as_asked(args: argparse.Namespace) -> None:
    """Export as the arguments say.

    Raises:
        RunError, ConfigError, OSError: As those that it calls.
    """
    check_options(args)
    config, run_directory = choose_run(args.run_dir, args.overrides)
    output = choose_output(args.output, config, run_directory, args.format)
    export(config, run_directory, output, args)


def check_options(args: argparse.Namespace) -> None:
    """Refuse options that do not fit together.

    Raises:
        RunError: With what does not.
    """
    if args.output == "":
        raise RunError('--output must name a folder. Received: ""')
    for option in ("rows", "labels"):
        if (path := getattr(args, option)) is not None:
            expanded(f"--{option}", path)
    given = [f"--{name}" for name in ("rows", "labels", "thumbnails") if getattr(args, name)]
    if args.format != "savedmodel" and given:
        raise RunError(
            f"--format {args.format} holds the encoder alone, without rows. "
            f"Received: {' and '.join(given)}"
        )


def choose_run(run_dir: str, overrides: list[str]) -> tuple[RunConfig, RunDirectory]:
    """The run and its config, with what may be changed of it.

    Raises:
        RunError: There is no run.
        ConfigError: An override that would make it another run.
    """
    run = RunDirectory(expanded("RUN_DIR", run_dir))
    if not run.holds_run:
        raise RunError(
            f"There is no run of and_tf.train (no config.json) here. Received: {shown(run_dir)}"
        )
    config = load_config(run.config, overrides)
    check_same_config(load_config(run.config), config)
    return config, run


def choose_output(
    output: str | None, config: RunConfig, run: RunDirectory, file_format: str
) -> Path:
    """The folder of all versions.

    Raises:
        RunError: It cannot be one.
    """
    from and_tf.exporting.version_folder import check_output

    name = config.name if file_format == "savedmodel" else f"{config.name}-{file_format}"
    path = expanded("--output", output or Path("export") / name)
    parent = next(folder for folder in (path, *path.absolute().parents) if folder.is_dir())
    if not os.access(parent, os.W_OK | os.X_OK):
        raise RunError(f"--output cannot be written to: Permission denied. Received: {shown(path)}")
    if path.resolve().is_relative_to(run.path.resolve()):
        raise RunError(
            f"--output must lie outside of the run directory, which holds a run alone. "
            f"Received: {path}"
        )
    check_output(path, file_format)
    return path


def export(config: RunConfig, run: RunDirectory, output: Path, args: argparse.Namespace) -> None:
    """Write the next version, verified.

    Raises:
        RunError: Bad input, or an export that does not answer as the model does.
        OSError: The disk is full. Nothing is left.
    """
    import_keras()
    from and_tf.exporting.portable import write_portable
    from and_tf.exporting.rows import embed_rows, with_labels
    from and_tf.exporting.saved_model import write_saved_model
    from and_tf.exporting.thumbnails import write_thumbnails
    from and_tf.exporting.trained_encoder import load_encoder
    from and_tf.exporting.version_folder import write_next_version

    encoder = load_encoder(run, config)
    run_card = run.model_card.read_text(encoding="utf-8") if run.model_card.exists() else ""
    if args.format != "savedmodel":
        version = write_next_version(
            output, lambda folder: write_portable(encoder, folder, args.format, config, run_card)
        )
        print(f"{version}: the encoder alone, as {args.format}")
        return
    sets = load_sets(config, encoder, args.rows or "train")
    rows = embed_rows(encoder, sets, config.evaluation.batch_size)
    if args.labels is not None:
        with refusing_bad_input():
            rows = with_labels(rows, Path(args.labels).expanduser())
    print(f"{len(rows):,} rows, {rows.num_labelled:,} of them with labels", flush=True)

    def write(folder: Path) -> None:
        write_saved_model(folder, config, encoder, rows, args.neighbours, args.top, run_card)
        if args.thumbnails:
            write_thumbnails(folder / "assets.extra/thumbnails", sets, config.evaluation.batch_size)

    print(f"{write_next_version(output, write)}: verified")


def load_sets(config: RunConfig, encoder: keras.Model, which: str) -> list[ImageSet]:
    """The images that become rows.

    Raises:
        RunError: They cannot be had.
    """
    from and_tf.exporting.rows import SETS, load_image_sets

    try:
        return load_image_sets(config, which, encoder.input_shape[1:])
    except ValueError as error:
        if which not in SETS:
            raise RunError(str(error)) from error
        raise RunError(
            f"{error} If the images have moved, --set data.path=FOLDER (or data.data_dir) says where "
            "to; --rows none exports the encoder without them."
        ) from error


if __name__ == "__main__":
    sys.exit(main())
