"""Types and properties that are recorded, and read back: notebooks, schedules, guarded updates, concurrency."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.embedded import Aws, eventually
from tests.local.templates import api_resources, endpoint_resources, role, scaling_resources


def test_a_notebook_and_its_scripts_can_be_described_changed_and_deleted(aws: Aws) -> None:
    def template(idle: str, size: int) -> dict[str, Any]:
        return {
            "Resources": {
                "Role": role("sagemaker", {"Action": "s3:ListAllMyBuckets", "Resource": "*"}),
                "Scripts": {
                    "Type": "AWS::SageMaker::NotebookInstanceLifecycleConfig",
                    "Properties": {"NotebookInstanceLifecycleConfigName": "idle", "OnStart": [{"Content": idle}]},
                },
                "Notebook": {
                    "Type": "AWS::SageMaker::NotebookInstance",
                    "Properties": {
                        "NotebookInstanceName": "bench",
                        "InstanceType": "ml.t3.medium",
                        "RoleArn": {"Fn::GetAtt": ["Role", "Arn"]},
                        "RootAccess": "Disabled",
                        "VolumeSizeInGB": size,
                        "LifecycleConfigName": {"Fn::GetAtt": ["Scripts", "NotebookInstanceLifecycleConfigName"]},
                    },
                },
            }
        }

    assert aws.deploy("notebook", template("Zmlyc3Q=", 10)) == "CREATE_COMPLETE", aws.reasons("notebook")
    made = aws.sagemaker.describe_notebook_instance(NotebookInstanceName="bench")
    assert (made["NotebookInstanceStatus"], made["RootAccess"]) == ("InService", "Disabled")
    assert made["NotebookInstanceLifecycleConfigName"] == "idle"
    assert aws.deploy("notebook", template("c2Vjb25k", 20)) == "UPDATE_COMPLETE", aws.reasons("notebook")
    changed = aws.sagemaker.describe_notebook_instance(NotebookInstanceName="bench")
    assert (changed["VolumeSizeInGB"], changed["CreationTime"]) == (20, made["CreationTime"])
    config = {"NotebookInstanceLifecycleConfigName": "idle"}
    assert aws.sagemaker.describe_notebook_instance_lifecycle_config(**config)["OnStart"] == [{"Content": "c2Vjb25k"}]
    aws.cloudformation.delete_stack(StackName="notebook")
    with pytest.raises(ClientError, match="RecordNotFound"):
        aws.sagemaker.describe_notebook_instance(NotebookInstanceName="bench")


def test_scheduled_actions_are_put_changed_and_deleted_with_their_target(aws: Aws, artifacts: str) -> None:
    def template(*names: str) -> dict[str, Any]:
        resources = {**endpoint_resources("scheduled", "one"), **scaling_resources("scheduled")}
        resources["Target"]["Properties"]["ScheduledActions"] = [
            {
                "ScheduledActionName": name,
                "Schedule": "cron(0 7 ? * MON-FRI *)",
                "Timezone": "Europe/Berlin",
                "ScalableTargetAction": {"MinCapacity": "2", "MaxCapacity": "3"},
            }
            for name in names
        ]
        return {"Resources": resources}

    def names() -> set[str]:
        described = aws.application_autoscaling.describe_scheduled_actions(ServiceNamespace="sagemaker")
        assert all(a["ScalableTargetAction"]["MinCapacity"] == 2 for a in described["ScheduledActions"])
        return {action["ScheduledActionName"] for action in described["ScheduledActions"]}

    assert aws.deploy("scheduled", template("a", "b")) == "CREATE_COMPLETE", aws.reasons("scheduled")
    assert names() == {"a", "b"}
    assert aws.deploy("scheduled", template("b", "c")) == "UPDATE_COMPLETE", aws.reasons("scheduled")
    assert names() == {"b", "c"}
    aws.application_autoscaling.deregister_scalable_target(
        ServiceNamespace="sagemaker",
        ResourceId="endpoint/scheduled/variant/AllTraffic",
        ScalableDimension="sagemaker:variant:DesiredInstanceCount",
    )
    assert names() == set()


def test_provisioned_concurrency_is_a_scalable_target_of_an_existing_alias(aws: Aws) -> None:
    resources = {name: item for name, item in api_resources("nobody").items() if name != "Url"}
    resources["Function"]["Properties"]["FunctionName"] = "scaled"
    resources["Logs"]["Properties"]["LogGroupName"] = "/aws/lambda/scaled"
    assert aws.deploy("concurrency", {"Resources": resources}) == "CREATE_COMPLETE", aws.reasons("concurrency")
    scaling = aws.application_autoscaling
    key = {"ServiceNamespace": "lambda", "ScalableDimension": "lambda:function:ProvisionedConcurrency"}
    with pytest.raises(ClientError, match="No function alias found"):
        scaling.register_scalable_target(**key, ResourceId="function:scaled:dead", MinCapacity=1, MaxCapacity=2)
    key["ResourceId"] = "function:scaled:live"
    scaling.register_scalable_target(**key, MinCapacity=1, MaxCapacity=2)
    metric = {"PredefinedMetricType": "LambdaProvisionedConcurrencyUtilization"}
    policy = scaling.put_scaling_policy(
        **key,
        PolicyName="Use",
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration={"TargetValue": 0.7, "PredefinedMetricSpecification": metric},
    )
    (alarm, _) = aws.cloudwatch.describe_alarms(AlarmNames=[a["AlarmName"] for a in policy["Alarms"]])["MetricAlarms"]
    assert (alarm["Namespace"], alarm["MetricName"]) == ("AWS/Lambda", "ProvisionedConcurrencyUtilization")
    assert {"Name": "Resource", "Value": "scaled:live"} in alarm["Dimensions"]
    linked = aws.iam.get_role(RoleName="AWSServiceRoleForApplicationAutoScaling_LambdaConcurrency")
    assert linked["Role"]["Path"].endswith("/lambda.application-autoscaling.amazonaws.com/")
    scaling.deregister_scalable_target(**key)


def test_the_bounds_of_a_scalable_target_take_provisioned_concurrency_with_them_and_its_end_leaves_it(aws: Aws) -> None:
    def template(maximum: int | None) -> dict[str, Any]:
        resources = {name: item for name, item in api_resources("nobody").items() if name != "Url"}
        resources["Function"]["Properties"]["FunctionName"] = "bounded"
        resources["Logs"]["Properties"]["LogGroupName"] = "/aws/lambda/bounded"
        if maximum:
            target = {
                "ServiceNamespace": "lambda",
                "ResourceId": "function:bounded:live",
                "ScalableDimension": "lambda:function:ProvisionedConcurrency",
                "MinCapacity": 2,
                "MaxCapacity": maximum,
            }
            resources["Target"] = {
                "Type": "AWS::ApplicationAutoScaling::ScalableTarget",
                "DependsOn": ["Alias"],
                "Properties": target,
            }
        return {"Resources": resources}

    functions, live = getattr(aws, "lambda"), {"FunctionName": "bounded", "Qualifier": "live"}

    def provisioned() -> int:
        config = functions.get_provisioned_concurrency_config(**live)
        return int(config["RequestedProvisionedConcurrentExecutions"])

    def scale_out() -> None:
        functions.put_provisioned_concurrency_config(**live, ProvisionedConcurrentExecutions=6)

    assert aws.deploy("bounded", template(8)) == "CREATE_COMPLETE", aws.reasons("bounded")
    scale_out()
    assert aws.deploy("bounded", template(2)) == "UPDATE_COMPLETE", aws.reasons("bounded")
    assert provisioned() == 2
    assert aws.deploy("bounded", template(8)) == "UPDATE_COMPLETE", aws.reasons("bounded")
    scale_out()
    assert aws.deploy("bounded", template(None)) == "UPDATE_COMPLETE", aws.reasons("bounded")
    assert provisioned() == 6  # aws/aws-cdk 31507


def test_a_scalable_target_whose_role_is_named_and_not_there_is_refused(aws: Aws) -> None:
    role_arn = "arn:aws:iam::000000000000:role/aws-service-role/lambda.application-autoscaling.amazonaws.com/Nobody"
    with pytest.raises(ClientError, match=r"ValidationException.*Unable to assume IAM role: .*/Nobody"):
        aws.application_autoscaling.register_scalable_target(
            ServiceNamespace="lambda",
            ResourceId="function:scaled:live",
            ScalableDimension="lambda:function:ProvisionedConcurrency",
            MinCapacity=1,
            MaxCapacity=2,
            RoleARN=role_arn,
        )


@pytest.mark.parametrize(("exists", "readable"), [(False, True), (True, False), (True, True)])
def test_alarms_of_a_rollback_must_exist_and_be_readable_to_the_role(
    aws: Aws, artifacts: str, exists: bool, readable: bool
) -> None:
    name = f"guarded-{exists}-{readable}"
    resources = endpoint_resources(name, "one")
    resources["Endpoint"]["Properties"]["DeploymentConfig"] = {
        "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": name}]},
        "BlueGreenUpdatePolicy": {
            "TrafficRoutingConfiguration": {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0},
        },
    }
    if readable:
        statements = resources["HostingRole"]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]
        arn = f"arn:aws:cloudwatch:us-east-1:123456789012:alarm:{name}"
        statements.append({"Effect": "Allow", "Action": "cloudwatch:DescribeAlarms", "Resource": arn})
    if exists:
        aws.cloudwatch.put_metric_alarm(
            AlarmName=name,
            Namespace="N",
            MetricName="M",
            Statistic="Sum",
            Period=60,
            EvaluationPeriods=1,
            Threshold=1,
            ComparisonOperator="GreaterThanThreshold",
        )
    status = aws.deploy(name, {"Resources": resources})
    if exists and readable:
        assert status == "CREATE_COMPLETE", aws.reasons(name)
        shown = aws.sagemaker.describe_endpoint(EndpointName=name)["LastDeploymentConfig"]
        assert shown["AutoRollbackConfiguration"]["Alarms"] == [{"AlarmName": name}]
    else:
        assert status == "ROLLBACK_COMPLETE"
        assert ("cloudwatch:DescribeAlarms" if exists else "do not exist") in aws.reasons(name)
    aws.cloudformation.delete_stack(StackName=name)


def test_a_budget_is_created_changed_and_deleted_with_its_stack(aws: Aws) -> None:
    def template(amount: str, kind: str = "COST", threshold: str = "80") -> dict[str, Any]:
        budget = {
            "BudgetType": kind,
            "TimeUnit": "MONTHLY",
            "BudgetLimit": {"Amount": amount, "Unit": "USD"},
            "CostFilters": {"TagKeyValue": ["user:Project$kennel"]},
        }
        notification = {"ComparisonOperator": "GREATER_THAN", "NotificationType": "ACTUAL", "Threshold": threshold}
        watch = {
            "Notification": notification,
            "Subscribers": [{"SubscriptionType": "EMAIL", "Address": "a@example.com"}],
        }
        properties = {"Budget": budget, "NotificationsWithSubscribers": [watch]}
        return {"Resources": {"Budget": {"Type": "AWS::Budgets::Budget", "Properties": properties}}}

    account = {"AccountId": "123456789012"}

    def budgets() -> list[tuple[str, float]]:
        own = [b for b in aws.budgets.describe_budgets(**account).get("Budgets", ()) if "money" in b["BudgetName"]]
        return [(budget["BudgetName"], float(budget["BudgetLimit"]["Amount"])) for budget in own]

    def thresholds(name: str) -> list[float]:
        notifications = aws.budgets.describe_notifications_for_budget(**account, BudgetName=name)["Notifications"]
        return [notification["Threshold"] for notification in notifications]

    assert aws.deploy("money", template("10")) == "CREATE_COMPLETE", aws.reasons("money")
    ((name, amount),) = budgets()
    assert amount == 10
    assert thresholds(name) == [80]
    assert aws.deploy("money", template("20")) == "UPDATE_COMPLETE", aws.reasons("money")
    assert budgets() == [(name, 20)]
    assert aws.deploy("money", template("30", kind="MONEY")) == "UPDATE_ROLLBACK_COMPLETE"
    assert "(Service: budgets, Status Code: 400, Error Code: " in aws.reasons("money")
    assert budgets() == [(name, 20)]
    assert aws.deploy("money", template("20", threshold="90")) == "UPDATE_COMPLETE", aws.reasons("money")
    ((replacement, amount),) = budgets()
    assert (replacement != name, amount, thresholds(replacement)) == (True, 20, [90])
    aws.cloudformation.delete_stack(StackName="money")
    eventually(lambda: budgets() == [])
