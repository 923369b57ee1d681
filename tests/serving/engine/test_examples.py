"""tf.Examples of a request."""

from __future__ import annotations

import tensorflow as tf
from tensorflow_serving.apis import input_pb2

from serving.engine import examples


def _example(**features: float) -> tf.train.Example:
    example = tf.train.Example()
    for name, value in features.items():
        example.features.feature[name].float_list.value.append(value)
    return example


def test_a_list_is_serialized():
    given = input_pb2.Input(example_list={"examples": [_example(x=1), _example(x=2, y=3)]})
    array = examples.serialized(given)
    assert array.dtype == object
    assert [tf.train.Example.FromString(data) for data in array] == [
        _example(x=1),
        _example(x=2, y=3),
    ]


def test_a_context_is_part_of_each_example_and_gives_way():
    given = input_pb2.Input()
    given.example_list_with_context.context.CopyFrom(_example(x=1, c=4))
    given.example_list_with_context.examples.extend([_example(), _example(x=2)])
    assert [tf.train.Example.FromString(data) for data in examples.serialized(given)] == [
        _example(x=1, c=4),
        _example(x=2, c=4),
    ]


def test_there_may_be_no_example():
    assert examples.serialized(input_pb2.Input()).shape == (0,)
