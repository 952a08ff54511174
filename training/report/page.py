"""The page itself: what it says, in which order."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from training.metrics.assessment import Assessment
from training.metrics.calibration import BINS
from training.report import charts
from training.report.confusion import heat_map
from training.report.measurement import Findings

HERE = Path(__file__).parent
SPACE = "\N{NO-BREAK SPACE}"
TABLES = {
    "model": "Model",
    "input": "Pixels",
    "training": "Settings",
    "speed": "Speed",
    "data": "Data",
    "export": "Proof",
    "artifact": "Artifact",
    "weights": "Weights",
    "versions": "Versions",
}
"""Parts of the manifest, as they are called on the page; what else it has comes after them."""

ELSEWHERE = {"schema", "metrics", "history", "classes"}
"""What the page shows in another form."""

MOST_ROWS = 40
"""Of a part of the manifest."""


def write(path: Path, manifest: Mapping[str, Any], findings: Findings) -> None:
    """Write ``report.html``: one file, that needs no other and no network; the same arguments give the same bytes.

    Parameters
    ----------
    manifest
        What ``model.json`` says, or as much of it as is known; ``classes`` at least.

    Raises
    ------
    TrainingError
        A photo to be shown cannot be read any more.
    """
    # A file name may hold bytes that are no UTF-8, which Python keeps as lone surrogates.
    path.write_text(page(manifest, findings), encoding="utf-8", errors="replace")


def page(manifest: Mapping[str, Any], findings: Findings) -> str:
    """Return the page.

    Parameters
    ----------
    manifest, findings
        See ``write``.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "interval": interval, "decimal": lambda value: f"{value:.4f}"}
    labels = [entry["label"] for entry in manifest["classes"]]
    assessment = findings.assessment
    history, best = manifest.get("history", []), manifest.get("training", {}).get("best_epoch", 0)
    titled = [("after temperature scaling" if assessment.uncalibrated else "as served", assessment.calibrated)]
    if assessment.uncalibrated:
        titled.insert(0, ("before temperature scaling", assessment.uncalibrated))
    drawings = _markup(*(charts.reliability(calibration, title) for title, calibration in titled))
    mistakes = assessment.confusion - assessment.confusion.diagonal().diag()
    measured_first = (manifest.get("metrics", {}).get("test") or {}).get("photos_sha256")
    return environment.get_template("page.html").render(
        style=Markup((HERE / "page.css").read_text(encoding="utf-8")),  # noqa: S704 ours
        manifest=manifest,
        findings=findings,
        assessment=assessment,
        labels=labels,
        wrong=assessment.images - round(assessment.accuracy * assessment.images),
        bins=BINS,
        curves=_markup(charts.loss_curves(history, best), charts.accuracy_curve(history, best)) if history else [],
        best=best,
        matrix=_markup(heat_map(assessment.confusion, labels))[0],
        diagrams=[(*titled_calibration, drawing) for titled_calibration, drawing in zip(titled, drawings, strict=True)],
        unseen="training" in manifest and measured_first == findings.photos_sha256,
        varied=manifest.get("training", {}).get("augment", "none") != "none",
        confusions=assessment.confusions(),
        mistaken_pairs=int((mistakes > 0).sum()),
        classes=list(_classes(assessment, labels)),
        tables=list(_tables(manifest)),
    )


def percent(share: float | None) -> str:
    """Return a share as people read it, and never 100 where something is missing.

    Parameters
    ----------
    share
        From 0 to 1; None where there is nothing to measure.
    """
    if share is None:
        return "\N{EN DASH}"
    rounded = f"{100 * share:.1f}"
    if rounded == "100.0" and share < 1:
        rounded = "99.9"
    return f"{rounded.removesuffix('.0') if share in (0, 1) else rounded}{SPACE}%"


def interval(bounds: tuple[float, float]) -> str:
    """Return bounds as people read them.

    Parameters
    ----------
    bounds
        From 0 to 1, the lower one first.
    """
    low, high = map(percent, bounds)
    return f"{low.partition(SPACE)[0]} \N{EN DASH} {high}"


def _classes(assessment: Assessment, labels: list[str]) -> Iterator[dict[str, Any]]:
    """Return what the table of classes says, the worst first."""
    scores = assessment.classes
    worst = sorted(range(len(labels)), key=lambda i: (_number(scores[i].recall), _number(scores[i].precision), i))
    mistakes = assessment.confusion - assessment.confusion.diagonal().diag()
    for index in worst:
        count, taken_for = mistakes[index].max(0)
        yield {
            "number": index + 1,
            "label": labels[index],
            "score": scores[index],
            "taken_for": f"{labels[int(taken_for)]} ({int(count)})" if count else "",
        }


def _number(share: float | None) -> float:
    return 2.0 if share is None else share


def _tables(manifest: Mapping[str, Any]) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    for key in [*TABLES, *sorted(manifest.keys() - TABLES.keys() - ELSEWHERE)]:
        rows = list(_rows(manifest.get(key)))
        if len(rows) > MOST_ROWS:
            rows = [*rows[:MOST_ROWS], ("…", f"{len(rows) - MOST_ROWS} more in model.json")]
        if rows:
            yield TABLES.get(key, _words(key)), rows


def _rows(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Return a part of the manifest as rows of a table, whatever its depth."""
    if isinstance(value, Mapping):
        for key, member in value.items():
            yield from _rows(member, f"{name} {_words(str(key))}".strip())
    elif isinstance(value, list) and any(isinstance(member, Mapping | list) for member in value):
        for member in value:
            text = (
                ", ".join(f"{k}: {v}" for k, v in member.items()) if isinstance(member, Mapping) else json.dumps(member)
            )
            yield name, text
    elif isinstance(value, list):
        yield name, ", ".join(_text(member) for member in value)
    elif value is not None:
        yield name, _text(value)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _words(key: str) -> str:
    return key.replace("_", " ")


def _markup(*drawings: str) -> list[Markup]:
    return [Markup(drawing) for drawing in drawings]  # noqa: S704 the drawing escaped what it holds
