"""A model that was trained elsewhere, from its file to an artifact that is proven like any other."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from training.artifact.layout import pinned_requirements
from training.artifact.manifest import Manifest
from training.artifact.proof import write_stand_ins
from training.artifact.wheels import fetch_wheels, wheel_cache
from training.common.console import console, say
from training.common.errors import TrainingError
from training.common.files import workspace
from training.data.class_names import ClassNames, check_labels, names_by_folder, read_classes
from training.data.labels import visible
from training.data.photos import Photo, survey
from training.fit.dataset import Dataset
from training.model.network import Recipe, adopt, create
from training.model.own_classes import by_folders, own_classes, reconcile
from training.model.recognition import Recognised, head_names, is_head_alone, recognise, recognise_head
from training.model.weights import METADATA_KEY, architecture_of
from training.model.weights_file import Weights, read_weights
from training.pipeline.full_disk import full_disk_told
from training.pipeline.measure import Evaluation, find_photos, measure
from training.pipeline.pack import Model, pack, prove, publish_artifact, write_manifest, write_report

NORMALISATIONS = ("imagenet", "none")


@dataclass(frozen=True)
class PackageOptions:
    """What ``./kennel package`` was asked for; its help says what each means."""

    source: Path
    out: Path
    arch: str | None = None
    weights: str | None = None
    classes: Path | None = None
    normalisation: str | None = None
    image_size: int | None = None
    folders: dict[str, Path] | None = None
    weights_key: str | None = None


@dataclass(frozen=True)
class Classes:
    """A model's classes in the order of its output.

    Parameters
    ----------
    names
        What their folders are called.
    shown
        What people call them: the same, unless a map from folder to name says otherwise.
    """

    names: list[str]
    shown: list[str]


def package(options: PackageOptions) -> None:
    """Read a model, measure it if there are photos, pack, prove, and only then write the artifact.

    Raises
    ------
    TrainingError
        For whatever the user can put right; nothing is written then, and what was there stays.
    """
    with workspace(options.out.absolute() / "model") as work:
        (work / "unpacked").mkdir()
        file = read_weights(options.source, work / "unpacked", options.weights_key)
        for note in file.notes:
            say("Weights", f"{file.name}: {note}")
        with console.status("Telling which architecture it is"):
            recognised, preset = _recognise(options, file, work)
        before = _manifest_beside(file)
        classes = _classes(options, file, before, recognised.classes)
        recipe = _build(options, file, recognised, preset)
        photos = find_photos(options.folders, classes.names) if options.folders else None
        with console.status("Fetching what the artifact carries for AWS's container"):
            wheels = fetch_wheels(pinned_requirements(), wheel_cache())
        _introduce(recipe, file, recognised, classes.shown)
        facts: dict[str, Any] = {"source": {"file": file.name, "sha256": file.sha256}}
        if photos:
            dataset = Dataset(photos, survey(photos))
            evaluation = measure(recipe, dataset)
            facts |= {"data": dataset.facts()}
            to_prove = photos.splits["test"]
        else:
            evaluation = Evaluation((before and before.temperature) or 1.0, None)
            to_prove = [Photo(path, 0) for path in write_stand_ins(work / "stand-ins", recipe.rule.resize)]
            say("Test", "no photos were given: nothing is known of its accuracy, and it cannot be deployed; add --data")
        model = Model(recipe, classes.names, "packaged", evaluation.temperature, classes.shown)
        with full_disk_told(options.out):
            packed = pack(model, wheels=wheels, work=work)
            proof = prove(model, packed, photos=to_prove)
            manifest = write_manifest(model, packed, proof=proof, findings=evaluation.findings, facts=facts, work=work)
            write_report(manifest, evaluation.findings, work=work)
            publish_artifact(manifest, proof=proof, work=work, out=options.out)


def _recognise(options: PackageOptions, file: Weights, work: Path) -> tuple[Recognised, str]:
    """Return what the file holds, and whose preprocessing goes with it."""
    ours = architecture_of(file.metadata)
    if options.arch and ours and options.arch != ours:
        raise TrainingError(f"{file.source} is for {ours}, not for {options.arch}; leave out --arch")
    if not is_head_alone(file.state):
        if options.weights:
            raise TrainingError(f"{file.source} has every layer: leave out --weights, which is for a head alone")
        return recognise(file.state, options.arch or ours, str(file.source)), "DEFAULT"
    if options.arch is None or options.weights is None:
        raise TrainingError(
            f"{file.source} holds a head alone: say by --arch and --weights on top of what it was trained, as in "
            "--arch resnet50 --weights IMAGENET1K_V1 (which is torchvision's pretrained=True)"
        )
    return _with_body(options.arch, options.weights, file, work)


def _with_body(architecture: str, weights: str, file: Weights, work: Path) -> tuple[Recognised, str]:
    """Complete a head by the layers below it, of torchvision's weights or of a file."""
    if Path(weights).is_file():
        body, preset = read_weights(Path(weights), work).state, "DEFAULT"
    else:
        recipe = create(architecture, weights, 2, None, 224)
        if recipe.weights == "none":
            raise TrainingError("--weights none: a head is worth nothing on top of layers that learnt nothing")
        body, preset = recipe.classifier.network.state_dict(), recipe.weights
    complete = recognise(body, architecture, f"--weights {weights}")
    last, *blocks = head_names(architecture)
    named = [layer for layer in (last, *blocks) if all(name.startswith(f"{layer}.") for name in file.state)]
    position = named[0] if named else last
    head = {name.removeprefix(f"{position}."): value for name, value in file.state.items()}
    tensors, classes, mlp = recognise_head(head, position, last, str(file.source))
    rest: Mapping[str, Tensor] = {n: value for n, value in complete.state.items() if not n.startswith(f"{position}.")}
    return Recognised(architecture, {**rest, **tensors}, classes, mlp, complete.side), preset


def _manifest_beside(file: Weights) -> Manifest | None:
    """Return what Kennel wrote about these very weights, and not about others that lay there before or came after."""
    path = file.source.parent / "model.json"
    if file.name != "model.safetensors" or not path.is_file():
        return None
    manifest = Manifest.read(path)
    if manifest.weights_sha256 != file.sha256:
        say("Note", f"{path} does not vouch for these very weights: its classes and temperature are left aside")
        return None
    return manifest


def _classes(options: PackageOptions, file: Weights, before: Manifest | None, count: int) -> Classes:
    """Return the classes by whoever names them: the checkpoint and the user, the manifest, or the folders."""
    if own := own_classes(file.content, count, str(file.source)):
        return _of_checkpoint(options, *own)
    if options.classes:
        class_names, source = read_classes(options.classes), f"--classes {options.classes}"
    elif before:
        names, labels = ([item[key] for item in before.classes] for key in ("name", "label"))
        _check_count(ClassNames(names), "model.json beside it", count)
        return Classes(names, labels)
    elif options.folders:
        class_names, source = read_classes(options.folders["train"]), str(options.folders["train"])
    else:
        raise TrainingError(
            f"the model tells {count} classes apart; say by --classes which: a file with a name on each line, or the "
            "folder that ImageFolder was given"
        )
    _check_count(class_names, source, count)
    if class_names.taken:
        say("Classes", f"{source}: {class_names.taken}")
    return (
        _with_folders(class_names, source, options)
        if options.classes and options.folders
        else Classes(class_names.names, class_names.names)
    )


def _of_checkpoint(options: PackageOptions, own: ClassNames, key: str) -> Classes:
    """Return the classes of a checkpoint that names them, by the names that the user gives them."""
    shown = None
    if options.classes:
        source = f"--classes {options.classes}"
        shown = reconcile(own, key, read_classes(options.classes), source)
        check_labels(shown, source)
    else:
        source = f"the checkpoint's {key}"
        check_labels(own.names, source)
        say("Classes", f"as {source} has them" + (f"; {own.taken}" if own.taken else ""))
    names = own.names
    if options.folders:
        names = by_folders(own, key, read_classes(options.folders["train"]).names, str(options.folders["train"]))
    return Classes(names, shown or names)


def _with_folders(class_names: ClassNames, source: str, options: PackageOptions) -> Classes:
    """Return the classes that the user names, by the folders of the photos if these are a map's keys."""
    assert options.folders is not None  # noqa: S101
    place = options.folders["train"]
    folders = read_classes(place).names
    shown = (
        None if set(folders) == set(class_names.names) else names_by_folder(class_names, folders, source, str(place))
    )
    if shown is None:
        return Classes(class_names.names, class_names.names)
    if shown != class_names.names:
        output = next(i for i, (mine, name) in enumerate(zip(shown, class_names.names, strict=True)) if mine != name)
        raise TrainingError(
            f"{source} can be read in two ways: the model's output {output} is {visible(class_names.names[output])} if "
            f"its keys are outputs, and {visible(shown[output])} if they are folders of {place}, which ImageFolder "
            "sorts as texts; give a list of names in the order of the outputs"
        )
    return Classes(folders, shown)


def _check_count(class_names: ClassNames, source: str, count: int) -> None:
    if len(class_names.names) + 1 == count and class_names.from_one:
        raise TrainingError(
            f"{source} names {len(class_names.names)} classes, counted from 1, and the model has {count} outputs: name "
            "the first of them too, under 0"
        )
    if len(class_names.names) != count:
        raise TrainingError(f"{source} has {len(class_names.names)} classes, and the model {count}")


def _build(options: PackageOptions, file: Weights, recognised: Recognised, preset: str) -> Recipe:
    if options.normalisation and METADATA_KEY in file.metadata:
        raise TrainingError(f"{file.source} says how its pixels are normalised; leave out --weights-normalisation")
    return adopt(
        recognised.architecture,
        recognised.state,
        file.name,
        recognised.classes,
        options.image_size or recognised.side,
        recognised.mlp,
        preset=preset,
        metadata=file.metadata,
        normalised=options.normalisation != "none" if options.normalisation else None,
    )


def _introduce(recipe: Recipe, file: Weights, recognised: Recognised, names: list[str]) -> None:
    side = recipe.rule.crop
    say("Model", f"{file.name}: {recipe.architecture}, {len(names)} classes from {names[0]} to {names[-1]}")
    if recognised.mlp:
        widths = " - ".join(str(width) for width in (*recognised.mlp.widths, recognised.classes))
        say("Head", f"{widths}" + (", with ReLU between" if len(recognised.mlp.widths) > 1 else ""))
    plain = bool((recipe.classifier.std == 1).all())
    say(
        "Pixels",
        f"shorter side to {recipe.rule.resize}, centre {side} x {side}, "
        + ("as they are, from 0 to 1" if plain else "normalised with the mean and deviation of the weights"),
    )
    if not plain and METADATA_KEY not in file.metadata:
        say("", "(if training did not normalise, as many tutorials do not: --weights-normalisation none)")
