"""The bucket and its access log, whatever the snapshots say."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest

from stacks.settings import Settings, load_settings
from stacks.storage.stack import StorageStack

ROOT = Path(__file__).parents[3]
CONTEXT = json.loads((ROOT / "cdk.json").read_text())["context"]
KEY = "arn:aws:kms:eu-west-1:123456789012:key/12345678-1234-1234-1234-123456789012"

Template = dict[str, Any]
Synthesise = Callable[..., Template]


@pytest.fixture
def synthesise(tmp_path: Path) -> Synthesise:
    def of(settings: Settings, **storage: Any) -> Template:
        changed = settings.model_copy(update={"storage": settings.storage.model_copy(update=storage)})
        app = cdk.App(outdir=str(tmp_path), context=CONTEXT)
        StorageStack(app, "Storage", settings=changed)
        app.synth()
        template: Template = json.loads((tmp_path / "Storage.template.json").read_text())
        return template

    return of


@pytest.fixture
def prod() -> Settings:
    return load_settings("prod", ROOT / "settings")


def buckets(template: Template) -> dict[str, Template]:
    """Return the buckets by the start of their logical ids."""
    return {
        "log" if name.startswith("AccessLog") else "data": item
        for name, item in template["Resources"].items()
        if item["Type"] == "AWS::S3::Bucket"
    }


def test_the_bucket_has_the_name_that_the_other_stacks_know(synthesise: Synthesise, prod: Settings) -> None:
    name = buckets(synthesise(prod))["data"]["Properties"]["BucketName"]
    assert name == {"Fn::Join": ["", ["kennel-prod-", {"Ref": "AWS::AccountId"}, "-", {"Ref": "AWS::Region"}]]}


def test_both_buckets_are_private_and_encrypted(synthesise: Synthesise, prod: Settings) -> None:
    template = synthesise(prod)
    for bucket in buckets(template).values():
        assert set(bucket["Properties"]["PublicAccessBlockConfiguration"].values()) == {True}
        assert bucket["Properties"]["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
        assert "BucketEncryption" in bucket["Properties"]


def test_without_a_setting_there_is_no_access_log_and_no_bucket_for_it(synthesise: Synthesise, dev: Settings) -> None:
    template = synthesise(dev, access_log_days=None)
    assert buckets(template).keys() == {"data"}
    assert "LoggingConfiguration" not in buckets(template)["data"]["Properties"]


@pytest.mark.parametrize(("environment", "policy_name"), [("prod", "Retain"), ("dev", "Delete")])
def test_production_keeps_both_buckets(synthesise: Synthesise, environment: str, policy_name: str) -> None:
    settings = load_settings(environment, ROOT / "settings")
    for bucket in buckets(synthesise(settings, access_log_days=30)).values():
        assert bucket["DeletionPolicy"] == bucket["UpdateReplacePolicy"] == policy_name


def test_each_prefix_keeps_its_objects_as_long_as_its_setting_says(synthesise: Synthesise, dev: Settings) -> None:
    days = {
        "data_version_days": 11,
        "model_version_days": 12,
        "training_version_days": 13,
        "checkpoint_days": 14,
        "capture_days": 15,
        "access_log_days": 16,
    }
    template = synthesise(dev, **days)
    rules = buckets(template)["data"]["Properties"]["LifecycleConfiguration"]["Rules"]
    kept = {
        rule["Prefix"]: (
            rule.get("ExpirationInDays"),
            rule["NoncurrentVersionExpiration"]["NoncurrentDays"],
        )
        for rule in rules
        if "Prefix" in rule
    }
    assert kept == {
        "data/": (None, 11),
        "models/": (None, 12),
        "training/": (None, 13),
        "training/checkpoints/": (14, 1),
        "capture/": (15, 1),
    }
    assert all(rule["Status"] == "Enabled" for rule in rules)
    (log,) = buckets(template)["log"]["Properties"]["LifecycleConfiguration"]["Rules"]
    assert log["ExpirationInDays"] == 16


def test_a_key_of_the_users_encrypts_the_bucket_with_a_bucket_key(synthesise: Synthesise, dev: Settings) -> None:
    (rule,) = buckets(synthesise(dev, kms_key_arn=KEY))["data"]["Properties"]["BucketEncryption"][
        "ServerSideEncryptionConfiguration"
    ]
    assert rule == {
        "BucketKeyEnabled": True,
        "ServerSideEncryptionByDefault": {"KMSMasterKeyID": KEY, "SSEAlgorithm": "aws:kms"},
    }
    (rule,) = buckets(synthesise(dev))["data"]["Properties"]["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
