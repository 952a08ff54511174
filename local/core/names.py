"""The one account and region of the embedded AWS."""

ACCOUNT = "123456789012"
REGION = "us-east-1"


def arn(service: str, resource: str) -> str:
    """Return the ARN of a regional resource of the account, for example ``arn("sagemaker", "model/m")``."""
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{resource}"
