"""What an export says of itself: `assets.extra/and_tf.json` for programs, a card for people."""

from __future__ import annotations

from pathlib import Path

import keras
from tensorflow.core.protobuf import saved_model_pb2

from and_tf import __version__
from and_tf.exporting.rows import Rows
from and_tf.exporting.signatures import OUTPUTS, Exported
from and_tf.exporting.trained_encoder import fingerprint_of
from and_tf.runs.config import RunConfig

FORMAT = 1


def describe(
    config: RunConfig, encoder: keras.Model, exported: Exported, rows: Rows, folder: Path
) -> dict:
    """What `assets.extra/and_tf.json` holds; docs/serving.md describes each key.

    Args:
        config: Of the run.
        encoder: As exported.
        exported: Its signatures.
        rows: What it stores.
        folder: Where its SavedModel was written.
    """
    signatures = {}
    for name, signature in sorted(exported.signatures.items()):
        outputs = signature.function.get_concrete_function().structured_outputs
        spec = signature.function.input_signature[0]
        signatures[name] = {
            "description": signature.description,
            "k": signature.k,
            "inputs": {
                spec.name: {
                    "dtype": spec.dtype.name,
                    "shape": spec.shape.as_list(),
                    "description": signature.input_description,
                }
            },
            "outputs": {
                alias: {
                    "dtype": tensor.dtype.name,
                    "shape": tensor.shape.as_list(),
                    "description": OUTPUTS[alias],
                }
                for alias, tensor in outputs.items()
            },
        }
    has_classes = "classify" in exported.signatures
    return {
        "format": FORMAT,
        "and_tf": __version__,
        "name": config.name,
        "image_size": list(encoder.input_shape[1:3]),
        "embedding_dim": encoder.output_shape[-1],
        "fingerprint": fingerprint_of(encoder),
        "num_rows": len(rows),
        "num_labelled_rows": rows.num_labelled,
        "class_names": rows.class_names if has_classes else None,
        "vote": {
            "neighbours": config.evaluation.knn_neighbours,
            "temperature": config.evaluation.knn_temperature,
        }
        if has_classes
        else None,
        "signatures": signatures,
        "taught": None if exported.bank is None else _handles(folder, list(exported.bank.taught)),
    }


def _handles(folder: Path, names: list[str]) -> dict[str, str]:
    """Variable's name to the name of its VarHandleOp in the graph that is loaded."""
    saved = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    handles = {
        node.attr["shared_name"].s.decode(): node.name
        for node in saved.meta_graphs[0].graph_def.node
        if node.op == "VarHandleOp"
    }
    return {name: handles[name] for name in names}


def export_card(description: dict, run_card: str) -> str:
    """The export's model card, Markdown: the run's, and what is served.

    Args:
        description: See `describe`.
        run_card: Of the run; empty where the run is not over.
    """
    lines = [
        (
            f"Exported by and_tf {description['and_tf']}. Images of "
            f"{' x '.join(map(str, description['image_size']))} pixels, "
            f"{description['num_rows']:,} rows to compare with, {description['num_labelled_rows']:,} of "
            "them with labels: embedded anew, without augmentation."
        ),
    ]
    if vote := description["vote"]:
        lines[-1] += (
            f" The {vote['neighbours']} nearest labelled rows vote, with temperature "
            f"{vote['temperature']:g}."
        )
    lines += ["", "| signature | input | outputs | |", "| --- | --- | --- | --- |"]
    for name, signature in description["signatures"].items():
        inputs, outputs = (
            ", ".join(
                f"`{alias}` {value['dtype']} {_shape(value['shape'])}"
                for alias, value in signature[side].items()
            )
            for side in ("inputs", "outputs")
        )
        lines.append(f"| `{name}` | {inputs} | {outputs} | {signature['description']} |")
    described = {
        alias: value["description"]
        for signature in description["signatures"].values()
        for side in ("inputs", "outputs")
        for alias, value in signature[side].items()
    }
    lines += ["", *(f"- `{alias}`: {text}" for alias, text in described.items()), ""]
    return with_served(description["name"], run_card, "\n".join(lines))


def with_served(name: str, run_card: str, served: str) -> str:
    """A run's model card, or a bare one, with a section on what is served."""
    return f"{(run_card or f'# {name}').rstrip()}\n\n## Served\n\n{served.rstrip()}\n"


def _shape(sides: list[int | None]) -> str:
    unknown = iter("Bk")
    return f"[{', '.join(str(side or next(unknown)) for side in sides)}]"
