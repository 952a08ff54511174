"""``[account]``: what an account's rules ask of every stack."""

import re

from pydantic import Field, field_validator

from stacks.settings.section import Section

OWN_TAGS = ("Project", "Environment", "Deployment")
"""Tags that every stack gets without a setting."""

# What every service takes in a tag (Tagging Best Practices, "Tag naming limits and requirements").
TAG_KEY = re.compile(r"(?!aws:)[\w .:/=+@-]{1,128}", re.IGNORECASE)
TAG_VALUE = re.compile(r"[\w .:/=+@-]{0,256}")
# CloudFormation puts at most 50 tags on a resource.
MAXIMUM_TAGS = 50 - len(OWN_TAGS)
ACCOUNT = re.compile(r"[0-9]{12}")
# Names of regions: AWS General Reference, "AWS service endpoints".
REGION = re.compile(r"[a-z]{2,4}(-[a-z]+)+-[0-9]{1,2}")
POLICY = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:policy/[\w+=,.@/-]+|[\w+=,.@-]{1,128}", re.ASCII)


class AccountSettings(Section):
    """Tags, the permissions boundary of every role (a policy's ARN, or its name), termination protection.

    ``id`` and ``region`` bind the environment to an account and a region: the commands of ``operate/`` refuse other
    credentials. The templates name neither, so that binding an environment that is deployed changes nothing of it.
    """

    # Far above what either has, so that the messages below speak.
    id: str | None = Field(default=None, max_length=64)
    region: str | None = Field(default=None, max_length=64)
    termination_protection: bool
    # The longest ARN: IAM API reference, arnType.
    permissions_boundary: str | None = Field(default=None, max_length=2048)
    tags: dict[str, str] = Field(default_factory=dict, max_length=MAXIMUM_TAGS)

    @field_validator("id")
    @classmethod
    def _account_has_twelve_digits(cls, value: str | None) -> str | None:
        if value is not None and not ACCOUNT.fullmatch(value):
            raise ValueError('use the 12 digits of an AWS account, such as "123456789012"')
        return value

    @field_validator("region")
    @classmethod
    def _region_has_the_form_of_one(cls, value: str | None) -> str | None:
        if value is not None and not REGION.fullmatch(value):
            raise ValueError('use the name of an AWS region, such as "eu-central-1"')
        return value

    @field_validator("permissions_boundary")
    @classmethod
    def _policy_is_named(cls, value: str | None) -> str | None:
        if value is not None and not POLICY.fullmatch(value):
            raise ValueError(
                'use the ARN of a managed policy ("arn:aws:iam::123456789012:policy/NAME"), '
                "or the NAME of one in the account that you deploy to"
            )
        return value

    @field_validator("tags")
    @classmethod
    def _tags_are_accepted(cls, value: dict[str, str]) -> dict[str, str]:
        for key, text in value.items():
            if key in OWN_TAGS:
                raise ValueError(f"Kennel sets the tag {key} itself: choose another key")
            if not TAG_KEY.fullmatch(key) or not TAG_VALUE.fullmatch(text):
                raise ValueError(
                    f'AWS refuses the tag {key} = "{text}": use at most 128 characters in a key and 256 in a value '
                    "(letters, digits, spaces and _ . : / = + - @), and no key that begins with aws:"
                )
        return value
