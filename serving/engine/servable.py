"""One SavedModel, loaded as TensorFlow Serving loads it: a graph, a session, the tag `serve`."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import pathlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence

import grpc
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2, meta_graph_pb2

from serving.engine import slow_lane
from serving.engine.read_write_lock import ReadWriteLock
from serving.errors import ServingError, from_tensorflow

INIT_SIGNATURE = "__saved_model_init_op"
# Clients choose which outputs to compute; what is compiled for each choice must not add up.
MOST_CALLABLES = 64


class Servable:
    """A loaded SavedModel. All methods may be called from any thread.

    `signatures` maps each name to its SignatureDef, without the initialiser that TensorFlow lists
    among them, which is `initializer`, None where there is none; `path` is the version's folder.
    `description` is what `assets.extra/and_tf.json` held when the version was loaded, or None: the
    folder may go while the version serves.
    """

    def __init__(self, path: pathlib.Path, *, intra_op_threads: int = 0, inter_op_threads: int = 0):
        """Loads the SavedModel in `path`: variables, assets and initialisers.

        TensorFlow makes its thread pools once a process: the first session's numbers of threads
        count (0: as many as there are cores).

        Raises ServingError: NOT_FOUND if there is no SavedModel with the tag `serve`, or an op is
        not known; otherwise TensorFlow's code.
        """
        self.path = path
        self._lock = ReadWriteLock()
        self._callables: dict[tuple, Callable[..., list]] = {}
        self._making_callables = threading.Lock()
        self._graph = tf.Graph()
        config = tf.compat.v1.ConfigProto(
            intra_op_parallelism_threads=intra_op_threads,
            inter_op_parallelism_threads=inter_op_threads,
            allow_soft_placement=True,
        )
        self._session = tf.compat.v1.Session(graph=self._graph, config=config)
        self.signatures: dict[str, meta_graph_pb2.SignatureDef] = {}
        try:
            meta_graph = _load(self._session, path)
            for name, signature in sorted(meta_graph.signature_def.items()):
                if name != INIT_SIGNATURE:
                    self._check_tensors(name, signature)
                    self.signatures[name] = signature
        except BaseException:
            self.close()
            raise
        self.initializer = meta_graph.signature_def.get(INIT_SIGNATURE)
        self.description: bytes | None = None
        with contextlib.suppress(OSError):
            self.description = (path / "assets.extra" / "and_tf.json").read_bytes()

    def run(
        self,
        signature_name: str,
        inputs: Mapping[str, np.ndarray],
        outputs: Sequence[str] | None = None,
        *,
        slow: bool = False,
    ) -> dict[str, np.ndarray]:
        """What a signature answers: output alias to array (strings: object arrays of bytes).

        `inputs` maps aliases to arrays; those left out take the signature's default. `outputs`
        names the outputs to compute, None all of them. Dtypes must be the signature's; shapes are
        the graph's to judge. A `slow` run gives way to all others, see `slow_lane`. Blocks, and lets
        other Python threads run meanwhile.

        Raises ServingError: INVALID_ARGUMENT for an unknown signature or alias and an input that
        is missing; otherwise what TensorFlow raised.
        """
        signature = self.signatures.get(signature_name)
        if signature is None:
            raise _invalid(f"No signature was found with the name: {signature_name}")
        names = tuple(sorted(signature.outputs)) if outputs is None else tuple(outputs)
        call = self._callables.get((signature_name, names, slow))
        if call is None:
            call = self._signature_callable(signature_name, names, slow)
        if len(inputs) != len(signature.inputs) or signature.inputs.keys() != inputs.keys():
            inputs = _with_defaults(signature, inputs)
        feeds = [inputs[alias] for alias in sorted(signature.inputs)]
        with self._lock.reading(), _tensorflow_errors():
            values = call(*feeds)
        return {name: _as_array(value) for name, value in zip(names, values, strict=True)}

    def uninitialized_variables(self) -> list[str]:
        """Names of the variables that signatures use and that hold no value.

        Others may well hold none: Keras's export lists each of its variables a second time.
        """
        handles = [op for op in self._used_operations() if op.type == "VarHandleOp"]
        if not handles:
            return []
        with self._graph.as_default():
            checks = [tf.raw_ops.VarIsInitializedOp(resource=op.outputs[0]) for op in handles]
        with self._lock.reading(), _tensorflow_errors():
            initialized = self._session.run(checks)
        return sorted(op.name for op, ready in zip(handles, initialized, strict=True) if not ready)

    def assign(self, values: Mapping[str, np.ndarray]) -> None:
        """Gives variables new values, all at once: no signature ever sees some new and some old.

        Keys are names of VarHandleOps in the loaded graph. The arrays must have the variables'
        dtypes (strings: object arrays of bytes); shapes are taken as they come.

        Raises ServingError: NOT_FOUND for a name that is no variable, otherwise what TensorFlow
        raised.
        """
        names = tuple(sorted(values))
        call = self._callables.get(names) or self._assign_callable(names)
        with self._lock.writing(), _tensorflow_errors():
            call(*(values[name] for name in names))

    def close(self) -> None:
        """Frees the variables, the graph and the session; waits for what is running."""
        with self._lock.writing():
            self._callables.clear()
            self._session.close()
            del self._session
            del self._graph
        # Ops and graph refer to each other, so only the collector frees them.
        gc.collect()
        _return_freed_memory()

    def _used_operations(self) -> set[tf.Operation]:
        """What the signatures' outputs are computed from."""
        used: set[tf.Operation] = set()
        waiting = [
            self._graph.get_tensor_by_name(tensor.name).op
            for signature in self.signatures.values()
            for tensor in signature.outputs.values()
            if tensor.name
        ]
        while waiting:
            operation = waiting.pop()
            if operation not in used:
                used.add(operation)
                waiting += [tensor.op for tensor in operation.inputs]
                waiting += operation.control_inputs
        return used

    def _check_tensors(self, name: str, signature: meta_graph_pb2.SignatureDef) -> None:
        for tensor in (*signature.inputs.values(), *signature.outputs.values()):
            # What is sparse or composite has no name of its own.
            try:
                if tensor.name:
                    self._graph.get_tensor_by_name(tensor.name)
            except (KeyError, ValueError):
                raise _invalid(
                    f"The signature {name} of the SavedModel in {self.path} names a tensor that "
                    f"its graph lacks: {tensor.name}"
                ) from None

    def _signature_callable(
        self, signature_name: str, names: tuple[str, ...], slow: bool
    ) -> Callable:
        signature = self.signatures[signature_name]
        for name in names:
            if name not in signature.outputs:
                known = ",".join(sorted(signature.outputs))
                raise _invalid(
                    f"output tensor alias not found in signature: {name} Outputs expected to be "
                    f"in the set {{{known}}}."
                )
        feeds = [signature.inputs[alias].name for alias in sorted(signature.inputs)]
        fetches = [signature.outputs[name].name for name in names]
        options = config_pb2.CallableOptions(feed=feeds, fetch=fetches)
        if slow:
            options.run_options.CopyFrom(slow_lane.run_options())
        return self._make_callable((signature_name, names, slow), options)

    def _assign_callable(self, names: tuple[str, ...]) -> Callable:
        feeds, targets = [], []
        with self._making_callables, self._graph.as_default():
            for name in names:
                try:
                    handle = self._graph.get_operation_by_name(name)
                except KeyError:
                    handle = None
                if handle is None or handle.type != "VarHandleOp":
                    raise ServingError(
                        grpc.StatusCode.NOT_FOUND,
                        f"The model has no variable of this name. Received: {name!r}",
                    )
                value = tf.compat.v1.placeholder(handle.get_attr("dtype"))
                assignment = tf.raw_ops.AssignVariableOp(resource=handle.outputs[0], value=value)
                feeds.append(value.name)
                targets.append(assignment.name)
        return self._make_callable(names, config_pb2.CallableOptions(feed=feeds, target=targets))

    def _make_callable(self, key: tuple, options: config_pb2.CallableOptions) -> Callable:
        with self._making_callables, _tensorflow_errors():
            # Session.make_callable with feeds is Session.run, which takes 0.3 ms more a call; this
            # is what Keras's graph mode used for its functions.
            call = self._session._make_callable_from_options(options)
            self._callables[key] = call
            if len(self._callables) > MOST_CALLABLES:
                del self._callables[next(iter(self._callables))]
            return call


def _load(session: tf.compat.v1.Session, path: pathlib.Path) -> meta_graph_pb2.MetaGraphDef:
    # The loader raises OSError for a folder without a model; TensorFlow Serving's words are these.
    if not any((path / name).is_file() for name in ("saved_model.pb", "saved_model.pbtxt")):
        raise ServingError(
            grpc.StatusCode.NOT_FOUND,
            "Specified file path does not appear to contain a SavedModel bundle (should have a "
            f"file called `saved_model.pb`)\nSpecified file path: {path}",
        )
    try:
        with session.graph.as_default(), _tensorflow_errors():
            return tf.compat.v1.saved_model.loader.load(session, ["serve"], str(path))
    except RuntimeError as error:  # no graph has the tag
        raise ServingError(grpc.StatusCode.NOT_FOUND, str(error)) from error
    except (OSError, ValueError) as error:  # what cannot be read or imported
        raise _invalid(f"The SavedModel in {path} cannot be read: {error}") from error


def _with_defaults(
    signature: meta_graph_pb2.SignatureDef, inputs: Mapping[str, np.ndarray]
) -> Mapping[str, np.ndarray]:
    filled = {alias: tf.make_ndarray(value) for alias, value in signature.defaults.items()}
    filled.update(inputs)
    if filled.keys() != signature.inputs.keys():
        raise _invalid(
            f"The signature takes the inputs {{{','.join(sorted(signature.inputs))}}}. "
            f"Received: {{{','.join(sorted(inputs))}}}"
        )
    return filled


def _as_array(value: object) -> np.ndarray:
    # TensorFlow hands out scalars as NumPy scalars and bytes.
    if isinstance(value, np.ndarray):
        return value
    return np.array(value, dtype=object if isinstance(value, bytes) else None)


def _invalid(message: str) -> ServingError:
    return ServingError(grpc.StatusCode.INVALID_ARGUMENT, message)


@contextlib.contextmanager
def _tensorflow_errors() -> Iterator[None]:
    try:
        yield
    except tf.errors.OpError as error:
        raise from_tensorflow(error) from error


def _return_freed_memory() -> None:
    # glibc keeps freed memory that lies between blocks still in use; a process that swaps models
    # for months would hold on to the largest sum it ever needed.
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
