import base64
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from training.data.photos import Photo
from training.metrics.assessment import Assessment, assess
from training.report.confusion import NAME, heat_map
from training.report.measurement import Findings
from training.report.page import interval, page, percent, write
from training.report.thumbnails import MOST, SIDE, worst

SECTIONS = {"summary", "mistakes", "confusion", "calibration", "training", "classes", "settings"}
VOID = {"meta", "img", "br"}


class Reader(HTMLParser):
    """Collects what a page holds, and sees to it that every element is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] not in (["style"], ["script"]):
            self.text += data


def read(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    reader.close()
    assert reader.open == []
    return reader


def logits(targets: torch.Tensor, classes: int, strength: float = 2.0) -> torch.Tensor:
    torch.manual_seed(1)
    made = torch.randn(len(targets), classes)
    made[range(len(targets)), targets] += strength
    return made


def manifest(labels: list[str], epochs: int = 3) -> dict[str, Any]:
    history = [
        {"number": n, "train_loss": 2.0 / n, "validation": {"accuracy": 1 - 0.5 / n, "loss": 1.5 / n, "images": 9}}
        for n in range(1, epochs + 1)
    ]
    return {
        "schema": 1,
        "artifact": {"location": "model.tar.gz", "sha256": "ab" * 32, "size": 65_304_528},
        "model": {"architecture": "resnet18", "weights": "none", "mode": "full", "temperature": 1.5},
        "input": {"resize": 32, "crop": [32, 32]},
        "classes": [{"name": label, "label": label} for label in labels],
        "metrics": {},
        "history": history,
        "training": {"epochs": epochs, "best_epoch": 2, "lr": 0.001},
        "speed": {"precision": "float32", "workers": 0},
        "data": {"images": {"train": 24, "valid": 12, "test": 12}, "findings": {"greyscale": 7}},
        "versions": {"torch": "2.13.0"},
    }


@pytest.fixture
def photos(tmp_path: Path) -> list[Photo]:
    made = []
    for number in range(60):
        path = tmp_path / f"{number}.png"
        Image.fromarray(np.full((300, 200, 3), 4 * number, np.uint8)).save(path)
        made.append(Photo(path, number % 6))
    return made


def findings(photos: list[Photo], strength: float = 2.0) -> Findings:
    targets = torch.tensor([photo.target for photo in photos])
    made = logits(targets, 6, strength)
    found = assess(made, targets, 1.5)
    return Findings("test", found, worst(photos, made, 1.5), "", found)


LABELS = ["Red setter", "Green dog", "Blue heeler", "Chow chow", "Akita", "Pug"]


def test_the_page_has_every_section_and_its_numbers(photos: list[Photo]) -> None:
    found = findings(photos)
    reader = read(page(manifest(LABELS), found))
    assert {attributes["id"] for tag, attributes in reader.tags if tag == "section"} == SECTIONS
    text = " ".join(reader.text.split())
    wrong = round((1 - found.assessment.accuracy) * 60)
    assert wrong > 3
    for expected in (
        f"{percent(found.assessment.accuracy)} right".replace("\N{NO-BREAK SPACE}", " "),
        f"{wrong} of 60 wrong",
        f"expected calibration error {found.assessment.calibrated.error:.4f}",
        "balanced accuracy: the mean",
        percent(found.assessment.balanced_accuracy).replace("\N{NO-BREAK SPACE}", " "),
        "macro F1: the mean",
        f"{found.assessment.macro_f1:.4f}",
        "before temperature scaling",
        "after temperature scaling",
        "epoch 2, whose weights were kept",
        "resnet18",
        "ab" * 32,
        "2.13.0",
        "findings greyscale7",
        *LABELS,
        *(each.photo.name for each in found.mistakes),
    ):
        assert expected in text, expected


def test_what_is_drawn_is_there_in_numbers_too(photos: list[Photo]) -> None:
    found, content = findings(photos), manifest(LABELS)
    html = page(content, found)
    for each in found.assessment.calibrated.bins:
        if each.photos:
            numbers = (str(each.photos), f"{each.confidence:.4f}", f"{each.accuracy:.4f}")
            assert "".join(f'<td class="number">{number}</td>' for number in numbers) in html
    for epoch in content["history"]:
        drawn = (epoch["train_loss"], epoch["validation"]["loss"], epoch["validation"]["accuracy"])
        row = [str(epoch["number"]), *(f"{value:.4f}" for value in drawn)]
        assert "".join(f'<td class="number">{number}</td>' for number in row) in html


def test_what_training_saw_and_what_chose_the_epoch_is_said_only_where_it_is_known(photos: list[Photo]) -> None:
    found, content = findings(photos), manifest(LABELS)
    content["metrics"] = {"test": {"photos_sha256": found.photos_sha256}}
    fitted = page(content, found)
    assert "that training did not see" in fitted
    assert "these photos chose the epoch, so it is optimistic" in fitted
    elsewhere = page({name: each for name, each in content.items() if name not in ("training", "history")}, found)
    assert "training did not see" not in elsewhere
    assert "chose the temperature" in elsewhere
    assert "training did not see" not in page(content, replace(found, photos_sha256="other"))


def test_it_needs_nothing_else(photos: list[Photo]) -> None:
    reader = read(page(manifest(LABELS), findings(photos)))
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in reader.tags}
    for tag, attributes in reader.tags:
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in ("src", "href"):
                assert (value or "").startswith("data:image/jpeg;base64,"), (tag, value)
    html = page(manifest(LABELS), findings(photos))
    assert "content=\"default-src 'none'; img-src data:" in html
    assert "http:" not in html
    assert "https:" not in html
    assert "url(" not in html
    assert "@import" not in html


def test_names_of_classes_and_files_are_text_and_nothing_more(tmp_path: Path) -> None:
    evil = ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "</style>", "{{ 7 * 7 }}", "a & b", "-->"]
    path = tmp_path / '"><b>.png'
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(path)
    photos = [Photo(path, number % 6) for number in range(60)]
    names = manifest(evil) | {"data": {"<script>": "</table><script>"}}
    html = page(names, findings(photos))
    assert "<script" not in html
    reader = read(html)
    assert not {"script", "b onerror"} & {tag for tag, _ in reader.tags}
    for name in evil:
        assert name in reader.text
    assert all("onerror" not in attributes for _, attributes in reader.tags)


def test_the_same_arguments_give_the_same_bytes(photos: list[Photo], tmp_path: Path) -> None:
    for name in ("one", "other"):
        write(tmp_path / name, manifest(LABELS), findings(photos))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


def test_a_name_that_is_no_unicode_is_shown_as_far_as_it_goes(photos: list[Photo], tmp_path: Path) -> None:
    write(tmp_path / "report.html", manifest(["caf\udce9", *LABELS[1:]]), findings(photos))
    assert "caf?" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_many_classes_and_mistakes_make_a_page_of_bounded_size(photos: list[Photo]) -> None:
    torch.manual_seed(0)
    targets = torch.arange(15_000) % 300
    made = torch.randn(15_000, 300)
    names = manifest([f"A class with a rather long name, number {number}" for number in range(300)], epochs=500)
    names["data"] = {"many": {str(number): number for number in range(1000)}}
    shown = [Photo(photos[0].path, int(target)) for target in targets]
    html = page(names, Findings("test", assess(made, targets, 1.0), worst(shown, made), ""))
    assert html.count("<figure>") == MOST
    assert len(html) < 4_000_000
    assert html.count('class="wrong"') == 10_000


def test_thumbnails_are_small_jpegs_of_the_surest_mistakes(photos: list[Photo]) -> None:
    targets = torch.tensor([photo.target for photo in photos])
    made = logits(targets, 6)
    mistakes = worst(photos, made, 1.5)
    wrong = made.argmax(1) != targets
    probabilities = (made.double() / 1.5).softmax(1).amax(1)
    surest = sorted(probabilities[wrong].tolist(), reverse=True)
    assert [each.probability for each in mistakes] == surest[:MOST]
    for each in mistakes:
        at = [photo.path for photo in photos].index(each.photo)
        assert (each.true, each.predicted) == (int(targets[at]), int(made[at].argmax()))
        assert each.true_probability == pytest.approx(float((made[at].double() / 1.5).softmax(0)[each.true]))
    head, _, body = mistakes[0].thumbnail().partition(",")
    assert head == "data:image/jpeg;base64"
    image = Image.open(io.BytesIO(base64.b64decode(body)))
    assert (image.format, image.size) == ("JPEG", (SIDE * 200 // 300, SIDE))


def test_a_model_without_a_mistake_and_without_a_manifest_has_a_page(photos: list[Photo]) -> None:
    targets = torch.tensor([photo.target for photo in photos])
    found = assess(torch.nn.functional.one_hot(targets, 6) * 9.0, targets, None)
    classes = {"classes": [{"label": label} for label in LABELS]}
    reader = read(page(classes, Findings("valid", found, [], "")))
    assert {attributes["id"] for tag, attributes in reader.tags if tag == "section"} == SECTIONS
    assert "every photo is recognised" in reader.text
    assert "before temperature" not in reader.text
    assert "training did not see" not in reader.text


@pytest.mark.parametrize(("epochs", "marks"), [(1, 3), (2, 6), (40, 120), (41, 0)])
def test_curves_of_any_length_are_drawn(photos: list[Photo], epochs: int, marks: int) -> None:
    reader = read(page(manifest(LABELS, epochs), findings(photos)))
    lines = [attributes["points"] for tag, attributes in reader.tags if tag == "polyline"]
    assert [len((points or "").split()) for points in lines] == [epochs] * 3
    assert sum(tag == "circle" for tag, _ in reader.tags) == marks


def test_curves_lie_within_their_axes(photos: list[Photo]) -> None:
    reader = read(page(manifest(LABELS, 30), findings(photos)))
    for tag, attributes in reader.tags:
        if tag == "polyline":
            points = [tuple(map(float, each.split(","))) for each in (attributes["points"] or "").split()]
            assert all(46 <= x <= 426 and 30 <= y <= 212 for x, y in points)


def test_the_matrix_is_drawn_cell_by_cell() -> None:
    truth, said = torch.tensor([0, 0, 0, 1, 1]), torch.tensor([0, 0, 1, 1, 1])
    found: Assessment = assess(torch.nn.functional.one_hot(said, 2).float(), truth, None)
    html = page({"classes": [{"label": "cat"}, {"label": "dog"}]}, Findings("test", found, [], ""))
    titles = re.findall(r"<title>([^<]*)</title></rect>", html)
    assert titles[:3] == ["cat recognised: 2 of 3", "dog recognised: 2 of 2", "cat taken for dog: 1"]


def test_names_that_begin_alike_are_told_apart_in_the_matrix() -> None:
    names = [f"A class with a name of many words, number {number}" for number in (1, 2)]
    drawing = heat_map(torch.eye(2, dtype=torch.int64), names)
    shown = {text for text in re.findall(r"<text[^>]*>([^<]*)</text>", drawing) if "…" in text}
    assert len(shown) == 2
    assert all(len(text) <= NAME for text in shown)


@pytest.mark.parametrize(
    ("share", "text"), [(1.0, "100 %"), (0.9999, "99.9 %"), (0.99166, "99.2 %"), (0.0, "0 %"), (None, "\N{EN DASH}")]
)
def test_a_share_is_never_rounded_to_perfection(share: float | None, text: str) -> None:
    assert percent(share).replace("\N{NO-BREAK SPACE}", " ") == text


def test_bounds_are_written_as_shares_are() -> None:
    assert interval((0.96299, 1.0)).replace("\N{NO-BREAK SPACE}", " ") == "96.3 \N{EN DASH} 100 %"
    assert interval((0.0, 0.9999)).replace("\N{NO-BREAK SPACE}", " ") == "0 \N{EN DASH} 99.9 %"


def test_the_manifest_is_enough_for_what_it_shows(photos: list[Photo]) -> None:
    """What is not JSON cannot be read back from ``model.json``."""
    content = manifest(LABELS)
    assert page(json.loads(json.dumps(content)), findings(photos)) == page(content, findings(photos))


def test_a_model_that_names_one_class_for_all_is_told(photos: list[Photo]) -> None:
    warning = "is no better than always answering the most common class"
    labels = [f"class {n}" for n in range(6)]
    assert warning not in read(page(manifest(labels), findings(photos))).text
    poor = findings(photos, strength=0.0)
    assert f"Warning: accuracy {poor.assessment.accuracy:.4f} {warning}" in read(page(manifest(labels), poor)).text
