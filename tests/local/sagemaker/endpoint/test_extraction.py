import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from local.sagemaker.endpoint.extraction import extract

Extract = Callable[..., None]


def member(name: str, kind: bytes = tarfile.REGTYPE, to: str = "", mode: int = 0o644) -> tarfile.TarInfo:
    about = tarfile.TarInfo(name)
    about.type, about.linkname, about.mode = kind, to, mode
    about.uid = about.gid = 12345
    about.size = 1 if kind == tarfile.REGTYPE else 0
    return about


def link(name: str, to: str) -> tarfile.TarInfo:
    return member(name, tarfile.SYMTYPE, to)


def hard(name: str, to: str) -> tarfile.TarInfo:
    return member(name, tarfile.LNKTYPE, to)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "around" / "model"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture(params=["this Python", "Python 3.11.2, whose tarfile has no filter"])
def extracted(request: pytest.FixtureRequest, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Extract:
    """Return a function that extracts an archive of some members into the folder."""
    if request.param != "this Python":
        monkeypatch.delattr(tarfile, "data_filter", raising=False)

    def extract_all(*members: tarfile.TarInfo) -> None:
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as archive:
            for each in members:
                archive.addfile(each, io.BytesIO(b"x" * each.size))
        packed.seek(0)
        with tarfile.open(fileobj=packed, mode="r:gz") as archive:
            for each in archive:
                extract(archive, each, folder)

    return extract_all


def test_files_folders_and_links_within_the_folder_are_extracted(folder: Path, extracted: Extract) -> None:
    extracted(
        member("./code", tarfile.DIRTYPE, mode=0o755),
        member("./code/a.py"),
        member("deep/er/b"),
        link("code/up", "../deep/er/b"),
        hard("same", "code/a.py"),
    )
    assert (folder / "code/a.py").read_text() == (folder / "deep/er/b").read_text() == "x"
    assert (folder / "code/up").readlink() == Path("../deep/er/b")
    assert (folder / "same").samefile(folder / "code/a.py")


def test_a_file_keeps_that_it_can_be_run_and_neither_owner_nor_other_rights(folder: Path, extracted: Extract) -> None:
    extracted(member("run", mode=0o6777), member("read", mode=0o666))
    assert [(folder / name).stat().st_mode & 0o7777 for name in ("run", "read")] == [0o755, 0o644]
    assert {(folder / name).stat().st_uid for name in ("run", "read")} == {os.geteuid()}


def test_an_absolute_name_is_one_within_the_folder(folder: Path, extracted: Extract, tmp_path: Path) -> None:
    absolute = tmp_path / "elsewhere"
    extracted(member(str(absolute)))
    assert not absolute.exists()
    assert (folder / str(absolute).lstrip("/")).is_file()


@pytest.mark.parametrize(
    "members",
    [
        [member("../outside")],
        [member("code/../../outside")],
        [member("../model-too/outside")],
        [member("../outside", tarfile.DIRTYPE)],
        [link("code", "/etc")],
        [link("code", "../..")],
        [link("code", ".."), member("code/outside")],
        [link("deep/er/link", "../../../outside")],
        [link("here", "."), link("here/up", ".."), member("here/up/outside")],
        [hard("code", "../outside")],
        [hard("code", "/etc/passwd")],
        [hard("code", "nothing")],
        [member("file"), link("deep/er/link", "../../file"), hard("link", "deep/er/link")],  # link -> ../../file
        [member("device", tarfile.CHRTYPE)],
        [member("device", tarfile.BLKTYPE)],
        [member("pipe", tarfile.FIFOTYPE)],
    ],
)
def test_what_reaches_outside_or_is_no_file_is_refused(
    folder: Path, extracted: Extract, tmp_path: Path, members: list[tarfile.TarInfo]
) -> None:
    with pytest.raises(tarfile.TarError):
        extracted(*members)
    assert [path for path in tmp_path.rglob("*") if not path.is_relative_to(folder)] == [folder.parent]


def test_a_later_link_does_not_make_an_earlier_one_lead_outside(folder: Path, extracted: Extract) -> None:
    extracted(link("up", "not-yet/../file"), link("not-yet", "."))
    assert (folder / "up").resolve() == folder / "file"
