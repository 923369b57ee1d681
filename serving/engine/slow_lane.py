"""Threads of TensorFlow's own for what takes long: it runs beside all else, and behind it.

Sessions share one pool of threads. A large image that is decoded there, or a step of its resizing,
holds up the operations of every other request. What runs with `run_options` has threads apart
(TensorFlow's "run handler pool"), which give way to all others.
"""

from __future__ import annotations

import concurrent.futures
import functools
import os
import threading

import tensorflow as tf
from tensorflow.core.protobuf import config_pb2

# More than the process, as `nice` counts: a thread gets about a tenth of what one of the usual priority gets.
NICENESS = 10


@functools.cache
def run_options() -> config_pb2.RunOptions:
    """Options of a run that takes long; the first call starts the threads."""
    options = config_pb2.RunOptions()
    options.experimental.use_run_handler_pool = True

    def start() -> None:
        # The first run makes the threads, and on Linux a thread is as nice as the one that made it.
        # Threads of Python must not be nice: they would hold the interpreter's lock while they wait
        # for a core.
        thread = threading.get_native_id()
        niceness = min(19, os.getpriority(os.PRIO_PROCESS, thread) + NICENESS)
        os.setpriority(os.PRIO_PROCESS, thread, niceness)
        # Two threads: they look for work 4,000 times a second each, whether there is any or not.
        config = config_pb2.ConfigProto(
            inter_op_parallelism_threads=1, intra_op_parallelism_threads=1
        )
        with tf.Graph().as_default(), tf.compat.v1.Session(config=config) as session:
            session.run(tf.constant(0), options=options)

    with concurrent.futures.ThreadPoolExecutor(1) as starting:
        starting.submit(start).result()
    return options
