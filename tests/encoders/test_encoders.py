"""What every encoder promises: pixels as stored in, unit float32 vectors out, stages by name."""

from __future__ import annotations

import itertools
import subprocess
import sys

import keras
import numpy as np
import pytest

from and_tf.encoders import ENCODERS, alexnet, conv4, resnet18, resnet50, resnet101

# ResNet-101 is ResNet-50 with more blocks, and slow to build: its parameters are counted below.
NAMES = ("conv4", "alexnet", "resnet18", "resnet50")


@pytest.fixture
def mixed_bfloat16():
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield
    keras.config.set_dtype_policy("float32")


def images(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def trainable_parameters(encoder: keras.Model) -> int:
    return sum(int(np.prod(weight.shape)) for weight in encoder.trainable_weights)


# Totals of torchvision's models (11,689,512, 25,557,032, 44,549,160) less their 1,000-way layer.
@pytest.mark.parametrize(
    "build, trunk, features",
    [
        (resnet18, 11_176_512, 512),
        (resnet50, 23_508_032, 2048),
        (resnet101, 42_500_160, 2048),
    ],
)
def test_resnets_have_torchvisions_parameter_counts(build, trunk: int, features: int) -> None:
    assert trainable_parameters(build((224, 224, 3))) == trunk + features * 128 + 128


def test_the_small_stem_has_three_by_three_kernels() -> None:
    saved = (7 * 7 - 3 * 3) * 3 * 64
    assert trainable_parameters(resnet18()) == 11_176_512 - saved + 512 * 128 + 128


@pytest.mark.parametrize("size, kernels, cells", [(32, (3, 3), 16), (224, (11, 5), 36)])
def test_alexnet_has_the_parameters_of_its_five_convolutions(size, kernels, cells) -> None:
    filters = (3, 96, 256, 384, 384, 256)
    kernels = (*kernels, 3, 3, 3)
    convs = sum(k * k * a * b for k, (a, b) in zip(kernels, itertools.pairwise(filters)))
    expected = convs + 2 * sum(filters[1:]) + cells * 256 * 128 + 128
    encoder = alexnet((size, size, 3))
    assert trainable_parameters(encoder) == expected


def test_conv4_has_the_parameters_of_its_four_convolutions() -> None:
    filters = (3, 32, 64, 128, 128)
    convs = sum(9 * a * b for a, b in itertools.pairwise(filters))
    expected = convs + 2 * sum(filters[1:]) + 4 * 128 * 128 + 128
    assert trainable_parameters(conv4()) == expected


@pytest.mark.parametrize(
    "build, size, stages",
    [
        (conv4, 16, [(16, 16, 32), (8, 8, 64), (4, 4, 128), (4, 4, 128)]),
        (
            alexnet,
            32,
            [(32, 32, 96), (16, 16, 256), (8, 8, 384), (8, 8, 384), (8, 8, 256)],
        ),
        (
            alexnet,
            224,
            [(55, 55, 96), (27, 27, 256), (13, 13, 384), (13, 13, 384), (13, 13, 256)],
        ),
        (
            resnet18,
            32,
            [(32, 32, 64), (32, 32, 64), (16, 16, 128), (8, 8, 256), (4, 4, 512)],
        ),
        (
            resnet50,
            224,
            [(56, 56, 64), (56, 56, 256), (28, 28, 512), (14, 14, 1024), (7, 7, 2048)],
        ),
    ],
)
def test_stages_are_named(build, size: int, stages: list[tuple]) -> None:
    encoder = build((size, size, 3))
    for number, shape in enumerate(stages, start=1):
        assert encoder.get_layer(f"conv{number}").output.shape == (None, *shape)


@pytest.mark.parametrize("name", NAMES)
def test_stages_are_activations_that_a_probe_can_read(name: str) -> None:
    encoder = ENCODERS[name]((16, 16, 3), width=0.05)
    number_of_stages = 4 if name == "conv4" else 5
    outputs = [encoder.get_layer(f"conv{i + 1}").output for i in range(number_of_stages)]
    for activation in keras.Model(encoder.input, outputs)(images(4, 16, 16, 3)):
        assert activation.numpy().min() == 0.0 < activation.numpy().max()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(16, 16), (28, 28), (48, 40)])
def test_any_image_size_gives_unit_vectors(name: str, size: tuple[int, int]) -> None:
    encoder = ENCODERS[name]((*size, 3), embedding_dim=24, width=0.05)
    assert encoder.name == name
    embeddings = encoder(images(4, *size, 3))
    assert embeddings.shape == (4, 24)
    assert embeddings.dtype == "float32"
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1.0, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_mixed_precision_gives_float32_unit_vectors(name: str, mixed_bfloat16: None) -> None:
    encoder = ENCODERS[name]((16, 16, 3), width=0.25)
    assert encoder.get_layer("conv2").compute_dtype == "bfloat16"
    embeddings = encoder(images(8, 16, 16, 3))
    assert embeddings.dtype == "float32"
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1.0, atol=1e-6)


def test_pixels_are_normalised_in_float32_under_mixed_precision(mixed_bfloat16: None) -> None:
    encoder = conv4((8, 8, 3), mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
    normalised = keras.Model(encoder.input, encoder.get_layer("normalise").output)
    pixels = images(2, 8, 8, 3) * np.float32(0.97)
    expected = (pixels / 255.0 - [0.1, 0.2, 0.3]) / [0.4, 0.5, 0.6]
    np.testing.assert_allclose(normalised(pixels), expected, atol=1e-6)


def test_stored_pixels_and_floats_give_the_same_embeddings() -> None:
    encoder = conv4((12, 12, 3))
    pixels = images(4, 12, 12, 3)
    stored = encoder.predict(pixels, verbose=0)
    for dtype in ("float32", "float64", "int32"):
        np.testing.assert_array_equal(encoder.predict(pixels.astype(dtype), verbose=0), stored)


def test_auto_takes_the_large_stem_from_64_pixels_on_the_shorter_side() -> None:
    def kernel_size(height: int, width: int, build, layer: str, **options) -> int:
        encoder = build((height, width, 3), width=0.05, **options)
        return encoder.get_layer(layer).kernel_size[0]

    assert kernel_size(64, 80, resnet18, "stem_conv") == 7
    assert kernel_size(63, 224, resnet18, "conv1_conv") == 3
    assert kernel_size(224, 224, resnet18, "conv1_conv", stem="small") == 3
    assert kernel_size(64, 80, alexnet, "conv1_conv") == 11
    assert kernel_size(63, 224, alexnet, "conv1_conv") == 3


@pytest.mark.parametrize(
    "build, minimum, options",
    [
        (conv4, 5, {}),
        (resnet18, 8, {}),
        (resnet18, 32, {"stem": "large"}),
        (alexnet, 8, {}),
        (alexnet, 63, {"stem": "large"}),
    ],
)
def test_the_smallest_image_works_and_a_smaller_one_is_refused(build, minimum, options) -> None:
    encoder = build((minimum, minimum, 3), width=0.05, **options)
    assert np.isfinite(encoder(images(2, minimum, minimum, 3))).all()
    with pytest.raises(ValueError, match=f"at least {minimum}x{minimum} pixels.*Received"):
        build((minimum + 1, minimum - 1, 3), width=0.05, **options)


@pytest.mark.parametrize(
    "arguments, complaint",
    [
        ({"input_shape": (32, 32)}, "input_shape"),
        ({"input_shape": (32, 32, 1)}, "input_shape"),
        ({"input_shape": (None, None, 3)}, "input_shape"),
        ({"input_shape": (32.5, 32, 3)}, "input_shape"),
        ({"input_shape": 32}, "input_shape"),
        ({"input_shape": (-32, 32, 3)}, "input_shape"),
        ({"embedding_dim": 0}, "embedding_dim"),
        ({"embedding_dim": 1.5}, "embedding_dim"),
        ({"embedding_dim": True}, "embedding_dim"),
        ({"width": 0}, "width"),
        ({"width": "half"}, "width"),
        ({"width": float("nan")}, "width"),
        ({"mean": (0.5, 0.5)}, "mean"),
        ({"mean": 0.5}, "mean"),
        ({"mean": (0.5, 0.5, "x")}, "mean"),
        ({"std": (0.2, 0.0, 0.2)}, "std"),
        ({"std": (0.2, float("inf"), 0.2)}, "std"),
        ({"stem": "tiny"}, "stem"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict, complaint: str) -> None:
    with pytest.raises(ValueError, match=f"`{complaint}` must be .*Received: "):
        resnet18(**arguments)


def test_width_scales_filters_to_multiples_of_eight_and_not_the_embedding() -> None:
    def stages(width: float) -> list[int]:
        encoder = resnet18((32, 32, 3), width=width)
        assert encoder.output.shape == (None, 128)
        return [encoder.get_layer(f"conv{i}").output.shape[-1] for i in range(1, 6)]

    assert stages(0.25) == [16, 16, 32, 64, 128]
    assert stages(0.3) == [16, 16, 40, 80, 152]
    assert stages(0.05) == [3, 3, 6, 16, 24]
    assert stages(0.001) == [1, 1, 1, 1, 1]


def test_initial_weights_are_uniform_as_in_torch() -> None:
    keras.utils.set_random_seed(3)
    encoder = resnet18()
    for name in ("conv1_conv", "conv3_block1_1_conv", "conv5_block2_2_conv", "embedding"):
        for weights in encoder.get_layer(name).get_weights():
            kernel = encoder.get_layer(name).kernel
            limit = np.prod(kernel.shape[:-1]) ** -0.5
            assert np.abs(weights).max() <= limit
            assert weights.std() == pytest.approx(limit / 3**0.5, rel=0.1)


def test_the_global_seed_decides_the_weights() -> None:
    def weights(seed: int) -> list[np.ndarray]:
        keras.utils.set_random_seed(seed)
        return resnet18(width=0.1).get_weights()

    first, again, other = weights(5), weights(5), weights(6)
    assert all(np.array_equal(a, b) for a, b in zip(first, again))
    assert not np.array_equal(first[0], other[0])
    encoder = resnet18(width=0.1)
    kernels = [
        encoder.get_layer(f"conv2_block{i}_{j}_conv").kernel.numpy() for i in (1, 2) for j in (1, 2)
    ]
    assert not np.allclose(kernels[0], kernels[1])
    assert not np.allclose(kernels[0], kernels[2])


def test_layer_names_do_not_depend_on_what_was_built_before() -> None:
    first, second = (alexnet(width=0.05) for _ in range(2))
    assert [layer.name for layer in first.layers] == [layer.name for layer in second.layers]


def test_batch_norm_has_torchs_momentum_and_epsilon() -> None:
    norms = [
        layer
        for name in NAMES
        for layer in ENCODERS[name](width=0.05).layers
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    assert {(norm.momentum, norm.epsilon) for norm in norms} == {(0.9, 1e-5)}


@pytest.mark.parametrize(
    "names",
    [["conv4"], pytest.param(NAMES, marks=pytest.mark.slow)],
    ids=["one", "all"],
)
def test_saved_encoders_load_in_another_process(tmp_path, names) -> None:
    pixels = images(3, 16, 16, 3)
    np.save(tmp_path / "pixels.npy", pixels)
    for name in names:
        encoder = ENCODERS[name]((16, 16, 3), width=0.05)
        encoder.save(tmp_path / f"{name}.keras")
        np.save(tmp_path / f"{name}.npy", encoder(pixels))
    script = """
import pathlib, sys
import and_tf, keras, numpy as np
folder = pathlib.Path(sys.argv[1])
pixels = np.load(folder / "pixels.npy")
for path in sorted(folder.glob("*.keras")):
    got = keras.models.load_model(path)(pixels)
    np.testing.assert_allclose(got, np.load(path.with_suffix(".npy")), atol=1e-6)
    print(path.stem)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == sorted(names)


def test_config_round_trip() -> None:
    encoder = resnet18(width=0.1)
    again = keras.Model.from_config(encoder.get_config())
    again.set_weights(encoder.get_weights())
    pixels = images(2, 32, 32, 3)
    np.testing.assert_array_equal(again(pixels), encoder(pixels))
    assert again.name == "resnet18"
