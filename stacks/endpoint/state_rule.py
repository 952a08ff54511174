"""The rule that notifies people when the endpoint is not what the stack declares."""

from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_sns as sns
from constructs import Construct

from stacks.common import names
from stacks.settings import Settings

ORDINARY = ["CREATING", "UPDATING", "SYSTEM_UPDATING", "IN_SERVICE", "DELETING"]
"""States that need no action. The pattern excludes these and does not list the others: AWS documents no spelling of
them (SageMaker guide, "Events that Amazon SageMaker AI sends to Amazon EventBridge", shows two)."""


class StateRule(Construct):
    """An EventBridge rule on the endpoint's state, to the alarm topic.

    It matches a state that is out of the ordinary, and an endpoint in service with another configuration than the
    stack's. The latter is how an auto-rollback shows that has no FailureReason. A scaling action is in service with the
    stack's configuration and matches nothing.

    Parameters
    ----------
    config_name
        The name of the endpoint configuration that the stack declares.
    topic
        The alarm topic.

    Attributes
    ----------
    rule
        The rule, which must know a new configuration before the endpoint gets it.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, settings: Settings, config_name: str, topic: sns.ITopic
    ) -> None:
        super().__init__(scope, construct_id)
        state, config = (
            events.EventField.from_path(f"$.detail.{key}") for key in ("EndpointStatus", "EndpointConfigName")
        )
        self.rule = events.Rule(
            self,
            "Rule",
            # The topic lets the rule of this name publish.
            rule_name=names.state_rule_name(settings.environment),
            description=f"Notifies when endpoint {settings.endpoint_name} fails or serves another configuration",
            event_pattern=events.EventPattern(
                source=["aws.sagemaker"],
                detail_type=["SageMaker Endpoint State Change"],
                detail={
                    "EndpointName": [settings.endpoint_name],
                    "$or": [
                        {"EndpointStatus": [{"anything-but": ORDINARY}]},
                        {"EndpointStatus": ["IN_SERVICE"], "EndpointConfigName": [{"anything-but": [config_name]}]},
                    ],
                },
            ),
            targets=[
                targets.SnsTopic(
                    topic,
                    message=events.RuleTargetInput.from_text(
                        f"Endpoint {settings.endpoint_name} has the state {state} and serves configuration {config}. "
                        f"Its stack declares {config_name}. "
                        f"Runbook: {settings.monitoring.runbook_url}#endpoint-state"
                    ),
                )
            ],
        )
