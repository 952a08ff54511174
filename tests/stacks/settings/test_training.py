import re
from pathlib import Path

import pytest

from stacks.settings import load_settings
from stacks.settings.errors import ConfigurationError

SETTINGS = Path(__file__).parents[3] / "settings"
NETWORK = '[training.network]\nvpc_id = "vpc-0123456789abcdef0"\nsubnet_ids = ["subnet-01234567"]\n'
GROUPS = 'security_group_ids = ["sg-0123456789abcdef0"]\n'
PLAIN = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"


def write(folder: Path, table: str, line: str) -> Path:
    """Write the dev settings with one line of one table set."""
    key = line.split(" = ")[0]
    head, rest = re.split(rf"(?m)^\[{re.escape(table)}\].*\n", (SETTINGS / "dev.toml").read_text())
    own, gap, others = rest.partition("\n\n[")
    own = re.sub(rf"(?m)^{key} = .*\n", "", own + "\n")
    (folder / "dev.toml").write_text(f"{head}[{table}]\n{line}\n{own}{gap}{others}")
    return folder


def with_network(folder: Path, network: str) -> Path:
    (folder / "dev.toml").write_text((SETTINGS / "dev.toml").read_text() + "\n" + network)
    return folder


@pytest.mark.parametrize(
    ("table", "line", "says"),
    [
        ("training", "log_retention_days = 15", "14, 30"),
        ("training.instance", 'type = "t3.large"', "g4dn"),
        ("training.instance", 'type = "g5g.xlarge"', "Graviton"),
        ("training.instance", 'type = "ml.g5.xlarge"', "not an EC2 instance type"),
        ("training.instance", 'type = "g5.xlarge\\U00014000"', r"g5.xlarge\U00014000"),
        ("training.instance", 'image_parameter = "ami-0123456789abcdef0"', "public parameter"),
        ("training.instance", 'image_parameter = "/aws/service/deeplearning/ami/arm64/x/latest/ami-id"', "x86-64"),
        ("training.instance", "disk_gb = 30", "greater than or equal to 100"),
        ("training.instance", 'spot = "yes"', "valid boolean"),
        ("training.notebook", 'type = "t3.medium"', "ml.t3.medium"),
        ("training.notebook", "disk_gb = 4", "greater than or equal to 5"),
        ("training.notebook", "idle_minutes = 5", "greater than or equal to 15"),
        ("training.notebook", "surprise = 1", "Extra inputs"),
    ],
)
def test_a_setting_that_aws_would_refuse_is_refused_in_one_line_that_names_it(
    tmp_path: Path, table: str, line: str, says: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_settings("dev", write(tmp_path, table, line))
    message = str(caught.value)
    assert "\n" not in message
    assert table in message
    assert line.split(" = ")[0] in message
    assert says in message


@pytest.mark.parametrize(
    ("network", "says"),
    [
        (NETWORK, "security_group_ids: Field required"),
        (NETWORK.replace("vpc-0123456789abcdef0", "default") + GROUPS, "training.network.vpc_id"),
        (NETWORK.replace('["subnet-01234567"]', "[]") + GROUPS, "at least 1 item"),
        (NETWORK + 'security_group_ids = ["default"]\n', "training.network.security_group_ids.0"),
    ],
)
def test_half_a_network_is_refused(tmp_path: Path, network: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(says)):
        load_settings("dev", with_network(tmp_path, network))


def test_a_whole_network_is_taken(tmp_path: Path) -> None:
    network = load_settings("dev", with_network(tmp_path, NETWORK + GROUPS)).training.network
    assert network is not None
    assert network.subnet_ids == ["subnet-01234567"]


def test_a_plain_image_runs_on_any_x86_instance(tmp_path: Path) -> None:
    write(tmp_path, "training.instance", f'image_parameter = "{PLAIN}"')
    text = (tmp_path / "dev.toml").read_text()
    (tmp_path / "dev.toml").write_text(text.replace('type = "g4dn.xlarge"', 'type = "c7i.large"'))
    assert load_settings("dev", tmp_path).training.instance.type == "c7i.large"


@pytest.mark.parametrize(
    "repository",
    [
        "pytorch",
        "public.ecr.aws/deep-learning-containers/pytorch",
        "123456789012.dkr.ecr.eu-west-1.amazonaws.com/pytorch:2.13-cpu",
        "123456789012.dkr.ecr.eu-west-1.amazonaws.com/",
    ],
)
def test_a_repository_that_launch_cannot_tag_is_refused(tmp_path: Path, repository: str) -> None:
    write(tmp_path, "training", f'repository = "{repository}"')
    with pytest.raises(ConfigurationError, match=r"training\.repository .* use an Amazon ECR repository without a tag"):
        load_settings("dev", tmp_path)
