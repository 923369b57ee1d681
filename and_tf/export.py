"""Export a trained run for serving: `python -m and_tf.export runs/svhn --output export/svhn`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from and_tf.backend import require_tensorflow
from and_tf.commands import fail, quieten, refusing_bad_input
from and_tf.config import ConfigError, RunConfig, load_config
from and_tf.errors import RunError
from and_tf.files import is_full_disk, write_text
from and_tf.resuming import check_same_config
from and_tf.run_directory import RunDirectory


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m and_tf.export",
        description="Export the encoder of a run as the next numbered version of a SavedModel, "
        "with its neighbours and kNN classes, for TensorFlow Serving and for `python -m serving`.",
    )
    parser.add_argument("run_dir", metavar="RUN_DIR", help="run directory of and_tf.train")
    parser.add_argument(
        "--output", metavar="DIR", help="folder of all versions (default: export/NAME)"
    )
    parser.add_argument(
        "--rows",
        metavar="WHICH",
        default="train",
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
    parser.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        dest="overrides",
        help="where the run's images lie now, such as data.path=images, or how its rows vote, such "
        "as evaluation.knn_neighbours=200; may be repeated",
    )
    return parser.parse_args(arguments)


def positive(text: str) -> int:
    """A whole number of 1 or more."""
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def main(arguments: list[str] | None = None) -> int:
    """Run the command.

    Returns:
        Exit code: 0 done, 2 bad input, 130 stopped by Ctrl-C.
    """
    args = parse_arguments(arguments)
    try:
        require_tensorflow()
        config, run = choose_run(args.run_dir, args.overrides)
        output = choose_output(args.output, config, run)
        export(config, run, output, args)
    except KeyboardInterrupt:
        return fail("stopped; nothing was exported", 130)
    except Exception as error:
        message = explain(error)
        if message is None:
            raise
        return fail(message, 2)
    return 0


def explain(error: Exception) -> str | None:
    """What to tell the user about an error that is not ours; None for a bug."""
    if isinstance(error, ConfigError | RunError):
        return str(error)
    if is_full_disk(error):
        return "No space left on the disk of --output; nothing was exported"
    if isinstance(error, PermissionError):
        return f"--output cannot be written to: {error.strerror}. Received: {error.filename}"
    if isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError":
        return "Not enough memory; nothing was exported. Choose fewer --rows"
    return None


def choose_run(run_dir: str, overrides: list[str]) -> tuple[RunConfig, RunDirectory]:
    """The run and its config, with what may be changed of it.

    Raises:
        RunError: There is no run.
        ConfigError: An override that would make it another run.
    """
    run = RunDirectory(Path(run_dir).expanduser())
    if not run.holds_run:
        raise RunError(
            f"There is no run of and_tf.train (no config.json) here. Received: {run_dir}"
        )
    config = load_config(run.config, overrides)
    check_same_config(load_config(run.config), config)
    return config, run


def choose_output(output: str | None, config: RunConfig, run: RunDirectory) -> Path:
    """The folder of all versions.

    Raises:
        RunError: It cannot be one.
    """
    from and_tf.exporting.version_folder import check_output

    if output == "":
        raise RunError('--output must name a folder. Received: ""')
    path = Path(output).expanduser() if output else Path("export") / config.name
    if path.resolve().is_relative_to(run.path.resolve()):
        raise RunError(
            f"--output must lie outside of the run directory, which holds a run alone. "
            f"Received: {path}"
        )
    check_output(path)
    return path


def export(config: RunConfig, run: RunDirectory, output: Path, args: argparse.Namespace) -> None:
    """Write the next version, verified.

    Raises:
        RunError: Bad input, or an export that does not answer as the model does.
        OSError: The disk is full. Nothing is left.
    """
    quieten()
    from and_tf.exporting.description import describe, export_card
    from and_tf.exporting.prediction_logs import warm_up_logs, write_logs
    from and_tf.exporting.projection import project
    from and_tf.exporting.row_bank import RowBank
    from and_tf.exporting.rows import embed_rows, load_image_sets, with_labels
    from and_tf.exporting.signatures import Exported
    from and_tf.exporting.thumbnails import write_thumbnails
    from and_tf.exporting.trained_encoder import load_encoder
    from and_tf.exporting.verification import expected_answers, verify_saved_model
    from and_tf.exporting.version_folder import write_next_version

    encoder = load_encoder(run, config)
    image_shape, image_size = encoder.input_shape[1:], config.data.image_size
    with refusing_bad_input():
        sets = load_image_sets(config, args.rows, image_shape)
        rows = embed_rows(encoder, sets, config.evaluation.batch_size)
        if args.labels is not None:
            rows = with_labels(rows, Path(args.labels).expanduser())

    vote = (config.evaluation.knn_neighbours, config.evaluation.knn_temperature)
    exported = Exported(
        encoder,
        image_size,
        RowBank(rows, *vote) if len(rows) else None,
        classify=rows.num_labelled > 0,
        neighbours=args.neighbours,
        top=args.top,
    )
    answers = {name: signature.k for name, signature in exported.signatures.items()}
    inputs = {name: signature.input_name for name, signature in exported.signatures.items()}

    def write(folder: Path) -> None:
        exported.save(str(folder))
        description = describe(config, encoder, exported, rows, folder)
        extra = folder / "assets.extra"
        write_logs(extra / "tf_serving_warmup_requests", warm_up_logs(inputs, image_shape))
        write_text(extra / "and_tf.json", json.dumps(description, indent=2) + "\n")
        if len(rows):
            write_text(extra / "projection.json", json.dumps(project(rows)) + "\n")
        if args.thumbnails and sets:
            write_thumbnails(extra / "thumbnails", sets, config.evaluation.batch_size)
        run_card = run.model_card.read_text(encoding="utf-8") if run.model_card.exists() else ""
        write_text(folder / "model_card.md", export_card(description, run_card))
        logs = expected_answers(encoder, image_size, rows, answers, *vote)
        verify_saved_model(folder, logs, image_size)

    version = write_next_version(output, write)
    print(
        f"{version}: {', '.join(sorted(exported.signatures))}; {len(rows):,} rows, "
        f"{rows.num_labelled:,} of them with labels"
    )


if __name__ == "__main__":
    sys.exit(main())
