import re
from pathlib import Path

import pytest

from stacks.settings import load_settings
from stacks.settings.errors import ConfigurationError

SETTINGS = Path(__file__).parents[3] / "settings"
KEY = "arn:aws:kms:eu-west-1:123456789012:key/12345678-1234-1234-1234-123456789012"


def write(folder: Path, line: str) -> Path:
    """Write the dev settings with one line of [storage] set."""
    key = line.split(" = ")[0]
    head, table, rest = re.split(r"(?m)^(\[storage\]\n)", (SETTINGS / "dev.toml").read_text())
    own, gap, others = rest.partition("\n\n[")
    own = re.sub(rf"(?m)^{key} = .*\n", "", own + "\n")
    (folder / "dev.toml").write_text(f"{head}{table}{line}\n{own}{gap}{others}")
    return folder


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("data_version_days = 0", "greater than or equal to 1"),
        ("model_version_days = 4000", "less than or equal to 3650"),
        ("training_version_days = 1.5", "valid integer"),
        ("checkpoint_days = 0", "greater than or equal to 1"),
        ("access_log_days = 0", "greater than or equal to 1"),
        ('kms_key_arn = "alias/kennel"', "match pattern"),
        (f'kms_key_arn = "{KEY.replace("key/", "alias/")}"', "match pattern"),
    ],
)
def test_a_setting_out_of_bounds_is_refused_in_one_line_that_names_it(tmp_path: Path, line: str, says: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_settings("dev", write(tmp_path, line))
    message = str(caught.value)
    assert "\n" not in message
    assert f"storage.{line.split(' = ')[0]}" in message
    assert says in message


@pytest.mark.parametrize(
    "key", [KEY, KEY.replace("aws:kms:eu-west-1", "aws-cn:kms:cn-north-1"), KEY.split("/")[0] + "/mrk-" + "0" * 32]
)
def test_a_key_is_named_by_its_arn_in_any_partition(tmp_path: Path, key: str) -> None:
    assert load_settings("dev", write(tmp_path, f'kms_key_arn = "{key}"')).storage.kms_key_arn == key


def test_an_environment_whose_bucket_would_have_too_long_a_name_is_refused(tmp_path: Path) -> None:
    longest, text = "e" * 27, (SETTINGS / "dev.toml").read_text()
    for environment in (longest, longest + "e"):
        (tmp_path / f"{environment}.toml").write_text(text)
    assert len(f"kennel-{load_settings(longest, tmp_path).environment}-123456789012-us-isof-south-1") == 63
    with pytest.raises(ConfigurationError, match=r"-c environment=e+: not an environment's name"):
        load_settings(longest + "e", tmp_path)
