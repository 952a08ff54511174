"""What the scalable targets of the stacks have in common: Application Auto Scaling makes their role."""

from aws_cdk import aws_applicationautoscaling as autoscaling


def name_no_role(target: autoscaling.CfnScalableTarget) -> None:
    """Leave out ``RoleARN``, which the CDK's construct always writes.

    Application Auto Scaling makes its service-linked role when the first target of an account is registered. If the
    request names the role, and it is not there yet, it is refused ("Unable to assume IAM role"; aws/aws-cdk 4108,
    aws-samples/amazon-bedrock-samples 253). Source: Application Auto Scaling API reference, RegisterScalableTarget.
    """
    target.role_arn = None
