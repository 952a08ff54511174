"""Logs and metrics of SageMaker's training jobs."""

from aws_cdk import aws_iam as iam
from constructs import Construct

from stacks.policies.sagemaker_logs import write_sagemaker_logs

TRAINING_JOBS_NAMESPACE = "/aws/sagemaker/TrainingJobs"
"""Namespace of a training job's metrics, and the name of the log group of all jobs."""


def write_training_job_logs(scope: Construct) -> iam.PolicyStatement:
    """Write a job's output to the group that SageMaker creates, one for all jobs of the account.

    Wildcard: SageMaker names the log streams of the group.

    Source: SageMaker guide, "Log groups and streams that Amazon SageMaker AI sends to CloudWatch Logs".
    """
    return write_sagemaker_logs(scope, "WriteTrainingJobLogs", TRAINING_JOBS_NAMESPACE)


def encrypt_job_output(key_arn: str) -> iam.PolicyStatement:
    """Encrypt what SageMaker stores of a job, whose request names the key; the guide names no service in between.

    Source: SageMaker guide, "SageMaker AI roles", CreateTrainingJob API; API reference, OutputDataConfig, KmsKeyId.
    """
    return iam.PolicyStatement(sid="EncryptJobOutput", actions=["kms:Encrypt"], resources=[key_arn])


def publish_training_metrics() -> iam.PolicyStatement:
    """Publish a job's metrics and its hosts' CPU, memory and disk use.

    Wildcard: the action supports no resource; the condition restricts it to SageMaker's namespace.

    Source: Service Authorization Reference, Amazon CloudWatch (``cloudwatch:namespace``).
    """
    return iam.PolicyStatement(
        sid="PublishTrainingMetrics",
        actions=["cloudwatch:PutMetricData"],
        resources=["*"],
        conditions={"StringEquals": {"cloudwatch:namespace": TRAINING_JOBS_NAMESPACE}},
    )
