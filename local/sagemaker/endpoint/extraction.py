"""One member of a tar archive, written into a directory and never outside it."""

import copy
import os
import tarfile
from pathlib import Path


def extract(archive: tarfile.TarFile, member: tarfile.TarInfo, directory: Path) -> None:
    """Write a member of an archive, a file, a folder or a link, into a directory; its owner is this process's user.

    The rules are those of ``tarfile``'s filter ``data``, which Python 3.11.2 lacks: it came with 3.11.4, and before
    3.11.13 it overlooks some links of links. A newer Python applies its own as well.

    Raises
    ------
    tarfile.TarError
        The member or the target of a link lies outside the directory, or the member is a device or a pipe.
    """
    safe = copy.copy(member)
    safe.name = member.name.lstrip("/")
    path = directory / safe.name
    _check_inside(path, member, directory)
    if member.issym() or member.islnk():
        # A ".." after a name would change its meaning when a later member puts a link in the place of that name.
        safe.linkname = os.path.normpath(member.linkname)
        target = (path.parent if member.issym() else directory) / safe.linkname
        _check_inside(target, member, directory)
        # A hard link to a relative symbolic link would be another one, relative to elsewhere; and for one to nothing
        # tarfile would extract an earlier member once more, unchecked.
        if member.islnk() and (target.is_symlink() or not target.is_file()):
            raise tarfile.ExtractError(f"{member.name!r} is a hard link to {member.linkname!r}, which is not a file")
    elif not (member.isreg() or member.isdir()):
        raise tarfile.ExtractError(f"{member.name!r} is a special file")
    archive.extraction_filter = getattr(tarfile, "data_filter", lambda member, path: member)
    archive.extract(safe, directory, set_attrs=False)
    if member.isreg():
        path.chmod(0o755 if member.mode & 0o100 else 0o644)


def _check_inside(path: Path, member: tarfile.TarInfo, directory: Path) -> None:
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(directory)):
        raise tarfile.ExtractError(f"{member.name!r} is, or links to, a path outside the directory")
