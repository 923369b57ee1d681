"""The report command: its page against the data, in a browser where there is one, and bad input."""

from __future__ import annotations

import functools
import json
import pathlib
import re
import shutil
from collections.abc import Iterator

import numpy as np
import pytest

from and_tf import report
from and_tf.figures.page import is_ours
from and_tf.judging.evaluation import Evaluation
from and_tf.judging.findings import Figure, Findings
from and_tf.judging.loading import load_subject
from and_tf.method.curriculum import Curriculum
from and_tf.reporting.comparison import Compared, settings_section
from and_tf.reporting.layouts import neighbour_layout, pca_layout
from and_tf.runs.config import load_config
from and_tf.runs.run_directory import RunDirectory
from and_tf.runs.summary import result_table
from tests.browser import Browser
from tests.conftest import made_once
from tests.figures.map_data import columns_of
from tests.small_run import ROOT, rows

MAPPED = 300


@pytest.fixture(scope="module")
def run(trained_run, tmp_path_factory) -> pathlib.Path:
    """A run with its report, and with a checkpoint for each round. Nothing may write to it."""

    def make(folder: pathlib.Path) -> None:
        shutil.copytree(trained_run, folder)
        last = folder / "checkpoints/epoch-000006-step-00000000.keras"
        for epoch in (2, 4):  # stands in for those of rounds 0 and 1
            shutil.copy(last, last.with_name(f"epoch-{epoch:06d}-step-00000000.keras"))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("and_tf.reporting.gathered.MOST_PLACED", MAPPED)
            tsne = functools.partial(neighbour_layout, method="t-SNE")  # UMAP compiles itself
            patch.setattr("and_tf.reporting.mapping.neighbour_layout", tsne)
            assert report.main([str(folder)]) == 0

    return made_once(tmp_path_factory, "reported", make)


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Iterator[Browser]:
    started = Browser(tmp_path_factory.mktemp("chromium"))
    yield started
    started.quit()


@pytest.fixture(scope="module")
def subject(run):
    return load_subject(run)


def test_the_tables_are_those_of_the_run(run):
    text = (run / "report.md").read_text()
    table = result_table(rows(run), Curriculum(2, 2, 2)).splitlines()
    assert all(line in text for line in table[2:])
    accuracy = [row["knn_features"] for row in rows(run) if "knn_features" in row][-1]
    assert f"| kNN top-1, features | {accuracy:.1%} |" in text
    assert f"![digits/test: {accuracy:.1%} correct](report/confusion.svg)" in text
    pictures = re.findall(r"\]\((report/[\w-]+\.svg)\)", text)
    assert sorted(pictures) == sorted(f"report/{path.name}" for path in (run / "report").iterdir())
    for name in ("figure-6", "hubs", "wrong", "round-1", "grad-cam", "cluster-1", "views", "map"):
        assert f"report/{name}.svg" in pictures


def test_figure_6_counts_neighbours(run):
    svg = (run / "report/figure-6.svg").read_text()
    for row in rows(run):
        if row["event"] == "round":
            right = round(row["anchors"] * row["consistency"])
            assert f">{right:,}</text>" in svg and f">{row['anchors'] - right:,}</text>" in svg


def test_the_map_is_of_the_embeddings(run, subject):
    page = (run / "report.html").read_text()
    item = re.search(
        r'<script type="application/json" id="map-item">(.*?)</script>', page, re.DOTALL
    )
    data = columns_of(item[1])
    placed = np.sort(np.random.default_rng(0).choice(len(subject.train), MAPPED, replace=False))
    np.testing.assert_array_equal(data["g0"], subject.train.labels[placed])
    layout = pca_layout(subject.train.embeddings[placed])
    np.testing.assert_allclose(np.stack([data["x1"], data["y1"]], 1), layout, atol=1e-4)
    assert data["x0"].shape == (MAPPED,) and np.isfinite(data["x0"]).all()


def test_clusters_have_their_sizes(run, subject):
    sizes = re.findall(r"!\[Cluster \d+: ([\d,]+) images", (run / "report.md").read_text())
    assert sum(map(int, sizes)) == len(subject.train)
    assert [int(size) for size in sizes] == sorted(map(int, sizes), reverse=True)


def test_in_a_browser(run, browser: Browser):
    page = browser.visit((run / "report.html").as_uri())
    page.wait(lambda: page.script("return document.getElementById('embeddings').dataset.ready"))
    assert page.complaints() == []
    # Every picture: those inside of figures, and the map's thumbnails.
    sizes = page.script(
        """return Promise.all([...document.querySelectorAll('svg image')].map(async image => {
             const picture = new Image(); picture.src = image.href.baseVal;
             await picture.decode(); return picture.naturalWidth;
           }))"""
    )
    assert len(sizes) > 20 and min(sizes) > 0
    sprite = """const url = getComputedStyle(document.documentElement).getPropertyValue('--sprite');
      const picture = new Image(); picture.src = url.trim().slice(4, -1).replaceAll('"', '');
      return picture.decode().then(() => picture.naturalWidth)"""
    assert page.script(sprite) == 16 * 18  # 300 images of 16 pixels, 18 in a row
    plot = "Bokeh.documents[0].get_model_by_name('map')"
    before = page.script(f"return {plot}.x_range.end - {plot}.x_range.start")
    page.wheel("#embeddings", -300)
    page.wait(lambda: page.script(f"return {plot}.x_range.end - {plot}.x_range.start") < before)
    # An example under the pointer is shown, with its label.
    page.script("document.querySelector('input[name=layout][value=\"1\"]').click()")
    points = "Bokeh.documents[0].get_model_by_name('points')"
    page.wait(lambda: page.script(f"return {points}.glyph.x.field") == "x1")
    x, y = page.script(
        f"""const view = Bokeh.index.find_one({plot}), data = {points}.data_source.data;
        const box = view.canvas.el.getBoundingClientRect();
        return [box.left + view.frame.x_scale.compute(data.x1[7]),
                box.top + view.frame.y_scale.compute(data.y1[7])]"""
    )
    page.point_at(x, y)
    page.wait(lambda: "label" in page.tooltip())
    page.resize(400, 900)
    assert page.script("return document.documentElement.scrollWidth") <= 400
    assert page.complaints() == []


def test_several_runs_are_compared_and_put_beside_the_paper(run, tmp_path, capsys):
    other = tmp_path / "other"
    other.mkdir()
    for name in ("config.json", "metrics.jsonl"):
        shutil.copy(run / name, other)
    config = json.loads((other / "config.json").read_text())
    config["seed"], config["data"], config["encoder"]["name"] = (
        1,
        {"source": "tfds", "name": "cifar10"},
        "resnet18",
    )
    config["curriculum"]["rounds"] = 4
    (other / "config.json").write_text(json.dumps(config))
    ours = tmp_path / "ours"
    ours.mkdir()
    for name in ("config.json", "metrics.jsonl"):
        shutil.copy(run / name, ours)
    for folder, share in ((ours, 0.5), (other, 0.75)):
        settings = json.loads((folder / "config.json").read_text())
        judged = {"name": folder.name, "kind": "run", "path": str(folder), "seed": 0}
        judged |= {"epochs": 6, "config": settings}
        found = Findings({"kNN, top-1": Figure(share)})
        Evaluation(judged, {"knn": found}).save(folder / "evaluation.json")
    output = tmp_path / "compared"
    assert report.main([str(ours), str(other), "--output", str(output)]) == 0
    text = (output / "report.md").read_text()
    accuracy = 100 * [row["knn_features"] for row in rows(other) if "knn_features" in row][-1]
    line = f"| CIFAR10 | resnet18 | AND | 86.3 | {accuracy:.1f} | {accuracy - 86.3:+.1f} | digits: 1,437 images, 6 epochs"
    assert line in text
    assert "| ImageNet | resnet18 | AND | 41.2 |  |  |  |" in text
    assert (
        "|  | ours | other | difference |\n| --- | ---: | ---: | ---: |\n| kNN, top-1 | 50.0% | 75.0% | 25.0% |"
        in text
    )
    assert "| seed | 0 | 1 |" in text and "| curriculum.rounds | 2 | 4 |" in text
    assert "<svg " in (output / "report.html").read_text()


def test_the_example_is_ours_and_small():
    example = ROOT / "docs/example-report"
    assert is_ours(example / "report.html")
    files = [path for path in example.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 2e6
    pictures = set(re.findall(r"\]\((report/[\w-]+\.svg)\)", (example / "report.md").read_text()))
    assert pictures == {f"report/{path.name}" for path in files if path.suffix == ".svg"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "There is no run of and_tf.train (no config.json) here. Received: nowhere"),
        (["RUN", "RUN"], "Name each run once. Received: "),
        (["RUN", "--output", "MINE"], "was not written by this command, and stays"),
        (["RUN", "--output", "MINE/report.html"], "File exists"),
        (["RUN", "OTHER", "--set", "data.path=x"], "--set goes with one run"),
        (["RUN", "--set", "data.path=x"], "data.path: is read only when data.source is"),
        (["BEGUN"], "has neither a model nor a checkpoint yet"),
        (["MOVED"], "data.path"),
        (["CHANGED"], "not those that the run was begun with"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line(arguments, message, trained_run, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "MINE").mkdir()
    (tmp_path / "MINE/report.html").write_text("<p>mine</p>")
    shutil.copytree(trained_run, "OTHER", ignore=shutil.ignore_patterns("checkpoints", "*.keras"))
    shutil.copytree("OTHER", "BEGUN")
    for name, change in {
        "MOVED": {"config": {"source": "folder", "path": "gone", "image_size": 16}},
        "CHANGED": {"environment": {"examples": 5, "shape": [16, 16, 3], "name": "digits/train"}},
    }.items():
        shutil.copytree("OTHER", name)
        shutil.copy(trained_run / "model.keras", name)
        for file, data in change.items():
            path = tmp_path / name / f"{file}.json"
            path.write_text(json.dumps(json.loads(path.read_text()) | {"data": data}))
    given = [str(trained_run) if each == "RUN" else each for each in arguments]
    assert report.main(given) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message in error and "Traceback" not in error
    assert (tmp_path / "MINE/report.html").read_text() == "<p>mine</p>"
    assert not RunDirectory(trained_run).report.exists()


def test_one_setting_that_differs_is_drawn_against_the_accuracy(run, tmp_path):
    folders = []
    for neighbours, seed, shift in ((1, 0, 0.0), (1, 1, 0.1), (2, 0, 0.2)):
        folder = tmp_path / f"k{neighbours}-seed{seed}"
        folder.mkdir()
        folders.append(str(folder))
        config = json.loads((run / "config.json").read_text())
        config["seed"], config["curriculum"]["neighbours"] = seed, neighbours
        (folder / "config.json").write_text(json.dumps(config))
        row = {"event": "epoch", "epoch": 2, "round": 0, "loss": 1.0, "knn_features": 0.5 + shift}
        (folder / "metrics.jsonl").write_text(json.dumps(row) + "\n")
    assert report.main([*folders, "--output", str(tmp_path / "out")]) == 0
    text = (tmp_path / "out/report.md").read_text()
    assert (
        "against curriculum.neighbours, all else equal; means over seeds](report/against.svg)"
        in text
    )
    runs = [
        Compared(
            path,
            load_config(f"{path}/config.json"),
            RunDirectory(pathlib.Path(path)).read_metrics(),
        )
        for path in folders
    ]
    (line,) = settings_section(runs).parts[1].figure.axes[0].get_lines()
    np.testing.assert_allclose([line.get_xdata(), line.get_ydata()], [[1, 2], [0.55, 0.7]])
