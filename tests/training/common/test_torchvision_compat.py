"""The stand-ins for torchvision make these tests mean the same wherever they run."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
WORKS = "value = 'as it is'"
UNDECLARED = "import torch; torch.library.register_fake('torchvision::nms')(lambda d, s, t: d)"
OTHER_FAULT = "raise RuntimeError('CUDA versions differ')"


def import_beside(torchvision: str, tmp_path: Path, code: str) -> subprocess.CompletedProcess[str]:
    package = tmp_path / "torchvision"
    (package / "transforms").mkdir(parents=True)
    (package / "__init__.py").write_text(torchvision)
    (package / "models.py").write_text("")
    (package / "transforms" / "__init__.py").write_text("")
    (package / "transforms" / "functional.py").write_text("")
    script = f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(ROOT)!r}]\n{code}"
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)


def test_where_the_import_works_nothing_is_declared(tmp_path: Path) -> None:
    code = (
        "import torch, torchvision; before = torchvision\n"
        "from training.common import torchvision_compat\n"
        "assert sys.modules['torchvision'] is before\n"
        "assert not hasattr(torch.ops.torchvision, 'nms')"
    )
    result = import_beside(WORKS, tmp_path, code)
    assert result.returncode == 0, result.stderr


def test_operators_that_did_not_load_are_declared(tmp_path: Path) -> None:
    code = "import torch\nfrom training.common import torchvision_compat\nassert torch.ops.torchvision.nms"
    result = import_beside(UNDECLARED, tmp_path, code)
    assert result.returncode == 0, result.stderr


def test_any_other_fault_is_not_hidden(tmp_path: Path) -> None:
    result = import_beside(OTHER_FAULT, tmp_path, "from training.common import torchvision_compat")
    assert "RuntimeError: CUDA versions differ" in result.stderr


def test_the_real_torchvision_builds_a_classifier_here() -> None:
    code = (
        "import torch\nfrom training.common.torchvision_compat import models\n"
        "print(models.resnet18(num_classes=3).eval()(torch.zeros(1, 3, 32, 32)).shape)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, cwd=ROOT)
    assert result.stdout.strip() == "torch.Size([1, 3])", result.stderr


@pytest.mark.parametrize("path", sorted((ROOT / "training").glob("*.py")), ids=lambda path: str(path.name))
def test_no_other_module_imports_torchvision(path: Path) -> None:
    imported: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").partition(".")[0])
    assert path.name == "torchvision_compat.py" or "torchvision" not in imported
