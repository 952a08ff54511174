"""The tags of a service's resources, by ARN."""

from local.core.json_service import Parameters


class Tags:
    """SageMaker's three operations on tags, and what the service's other operations do with them."""

    def __init__(self) -> None:
        self._tags: dict[str, dict[str, str]] = {}

    def add_tags(self, request: Parameters) -> Parameters:
        """Add or overwrite tags of a resource."""
        self.add(request["ResourceArn"], request)
        return self.list_tags(request)

    def list_tags(self, request: Parameters) -> Parameters:
        """Return a resource's tags."""
        tags = self._tags.get(request["ResourceArn"], {})
        return {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}

    def delete_tags(self, request: Parameters) -> None:
        """Remove tags of a resource."""
        for key in request["TagKeys"]:
            self._tags.get(request["ResourceArn"], {}).pop(key, None)

    def add(self, resource_arn: str, request: Parameters) -> None:
        """Take over the ``Tags`` of a request.

        Parameters
        ----------
        request
            The request's parameters.
        """
        self._tags.setdefault(resource_arn, {}).update({tag["Key"]: tag["Value"] for tag in request.get("Tags", ())})

    def of(self, resource_arn: str) -> dict[str, str]:
        """Return a resource's tags by key."""
        return dict(self._tags.get(resource_arn, {}))

    def forget(self, resource_arn: str) -> None:
        """Forget the tags of a resource that is gone."""
        self._tags.pop(resource_arn, None)
