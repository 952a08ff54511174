"""The entry files, called as containers do."""

import json
import subprocess
import sys
from pathlib import Path

from training.artifact.archive import unpack
from training.artifact.layout import CODE

TOOLKIT = """
import json, sys
from inspect import signature
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import inference

def call(function, *arguments):
    extra = len(signature(function).parameters) - len(arguments)
    assert extra in (0, 1), function
    return function(*arguments, *[object()] * extra)

model = call(inference.model_fn, sys.argv[2])
photo = call(inference.input_fn, Path(sys.argv[3]).read_bytes(), "image/png")
body, content_type = call(inference.output_fn, call(inference.predict_fn, photo, model), "application/json")
print(json.dumps({"type": content_type, **json.loads(body)}))
"""
"""What sagemaker-inference 1.10.1 does with the module ``inference`` (transformer.py, ``_run_handler_function``)."""


def test_aws_inference_toolkit_finds_and_calls_the_four_functions(fitted: Path, tmp_path: Path) -> None:
    unpack(fitted / "build" / "model.tar.gz", tmp_path)
    photo = fitted / "data" / "test" / "001.Red_setter" / "0.png"
    command = [sys.executable, "-I", "-B", "-c", TOOLKIT, *map(str, (tmp_path / CODE, tmp_path, photo))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["type"] == "application/json"
    assert sorted(each["label"] for each in answer["predictions"]) == ["Blue heeler", "Green dog", "Red setter"]
