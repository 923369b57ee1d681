"""What there is to run: `python -m and_tf`."""

from __future__ import annotations

import argparse
import sys

from and_tf import __version__

COMMANDS = {
    "and_tf.train": "train an image encoder without labels",
    "and_tf.evaluate": "judge a trained encoder as the paper does",
    "and_tf.export": "export a trained encoder for serving",
    "and_tf.report": "show a run on one page, or compare several",
    "and_tf.gradcam": "show where in images an encoder looks",
}


def main(arguments: list[str] | None = None) -> int:
    """List the commands, or say which version this is.

    Returns:
        Exit code: 0, or 2 for an argument that is not known.
    """
    lines = [f"  python -m {name:<16}{purpose}" for name, purpose in COMMANDS.items()]
    parser = argparse.ArgumentParser(
        prog="python -m and_tf",
        description="Unsupervised deep learning by neighbourhood discovery (AND).",
        epilog="commands:\n" + "\n".join(lines) + "\n\neach tells its options with --help",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"and_tf {__version__}")
    parser.parse_args(arguments)
    parser.print_help()
    return 0


if __name__ == "__main__":
    sys.exit(main())
