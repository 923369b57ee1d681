"""TensorFlow Serving's monitoring file."""

from __future__ import annotations

import pathlib

import pytest

from serving.monitoring_config import metrics_path


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("prometheus_config { enable: true }", "/monitoring/prometheus/metrics"),
        ('prometheus_config { enable: true, path: "/metrics" }', "/metrics"),
        ("prometheus_config { enable: false }", None),
        ("", None),
    ],
)
def test_paths(tmp_path: pathlib.Path, text: str, path: str | None) -> None:
    file = tmp_path / "monitoring.config"
    file.write_text(text)
    assert metrics_path(file) == path


@pytest.mark.parametrize("text", ["prometheus {", 'prometheus_config { enable: 1 path: "a" }'])
def test_what_is_no_monitoring_config(tmp_path: pathlib.Path, text: str) -> None:
    file = tmp_path / "monitoring.config"
    file.write_text(text)
    with pytest.raises(ValueError, match="monitoring config|path of metrics"):
        metrics_path(file)
