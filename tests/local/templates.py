"""CloudFormation templates as CDK writes them, for stacks of a stand-in model."""

from typing import Any

ASSUME = {
    "Action": "sts:AssumeRole",
    "Effect": "Allow",
    "Condition": {
        "StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}},
        "ArnLike": {"aws:SourceArn": {"Fn::Sub": "arn:aws:sagemaker:${AWS::Region}:${AWS::AccountId}:*"}},
    },
    "Principal": {"Service": "sagemaker.amazonaws.com"},
}


def role(service: str, *statements: dict[str, Any]) -> dict[str, Any]:
    trust = ASSUME if service == "sagemaker" else {**ASSUME, "Principal": {"Service": f"{service}.amazonaws.com"}}
    if service != "sagemaker":
        trust = {key: value for key, value in trust.items() if key != "Condition"}
    document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **s} for s in statements]}
    return {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [trust]},
            "Policies": [{"PolicyName": "Inline", "PolicyDocument": document}],
        },
    }


def endpoint_resources(
    endpoint: str, artifact: str, *, instances: int = 1, may_read: bool = True, isolated: bool = True
) -> dict[str, Any]:
    """Return role, model, configuration and endpoint; each artifact is a model of its own."""
    read = {"Action": "s3:GetObject", "Resource": "arn:aws:s3:::artifacts/*" if may_read else "arn:aws:s3:::x/*"}
    logs = {
        "Action": ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"],
        "Resource": [f"arn:aws:logs:*:*:log-group:/aws/sagemaker/Endpoints/{endpoint}{part}" for part in ("", ":*")],
    }
    return {
        "HostingRole": role("sagemaker", read, logs),
        "Model": {
            "Type": "AWS::SageMaker::Model",
            "Properties": {
                "ExecutionRoleArn": {"Fn::GetAtt": ["HostingRole", "Arn"]},
                "EnableNetworkIsolation": isolated,
                "PrimaryContainer": {
                    "Image": "123456789012.dkr.ecr.us-east-1.amazonaws.com/image:1",
                    "ModelDataUrl": f"s3://artifacts/{artifact}.tar.gz",
                    "Environment": {"MODEL_ARTIFACT_SHA256": "abc"},
                },
            },
        },
        "Config": {
            "Type": "AWS::SageMaker::EndpointConfig",
            "Properties": {
                "ProductionVariants": [
                    {
                        "VariantName": "AllTraffic",
                        "ModelName": {"Fn::GetAtt": ["Model", "ModelName"]},
                        "InstanceType": "ml.c7i.large",
                        "InitialInstanceCount": instances,
                        "InitialVariantWeight": 1,
                        "ModelDataDownloadTimeoutInSeconds": 60,
                        "ContainerStartupHealthCheckTimeoutInSeconds": 60,
                    }
                ],
                "Tags": [{"Key": "artifact", "Value": artifact}],
            },
        },
        "Endpoint": {
            "Type": "AWS::SageMaker::Endpoint",
            "Properties": {
                "EndpointName": endpoint,
                "EndpointConfigName": {"Fn::GetAtt": ["Config", "EndpointConfigName"]},
                "RetainAllVariantProperties": True,
            },
        },
    }


def scaling_resources(endpoint: str, *, maximum: int = 3, target: float = 40) -> dict[str, Any]:
    """Return the scalable target and the policy of an endpoint's variant."""
    return {
        "Target": {
            "Type": "AWS::ApplicationAutoScaling::ScalableTarget",
            "DependsOn": ["Endpoint"],
            "Properties": {
                "MinCapacity": 1,
                "MaxCapacity": maximum,
                "ResourceId": f"endpoint/{endpoint}/variant/AllTraffic",
                "RoleARN": "arn:aws:iam::123456789012:role/ignored",
                "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
                "ServiceNamespace": "sagemaker",
            },
        },
        "Policy": {
            "Type": "AWS::ApplicationAutoScaling::ScalingPolicy",
            "Properties": {
                "PolicyName": "Tracking",
                "PolicyType": "TargetTrackingScaling",
                "ScalingTargetId": {"Ref": "Target"},
                "TargetTrackingScalingPolicyConfiguration": {
                    "PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"},
                    "TargetValue": target,
                    "ScaleInCooldown": 60,
                    "ScaleOutCooldown": 60,
                },
            },
        },
    }


HANDLER = """
import boto3, os

def handle(event, context):
    runtime = boto3.client("sagemaker-runtime")
    name = event.get("endpoint") or os.environ["ENDPOINT_NAME"]
    answer = runtime.invoke_endpoint(EndpointName=name, Body=b"{}", ContentType="image/png")
    return {"statusCode": 200, "body": answer["Body"].read().decode()}
"""


def api_resources(endpoint: str) -> dict[str, Any]:
    """Return the function with role, log group, version, alias and URL."""
    arn = {"Fn::Sub": "arn:aws:sagemaker:${AWS::Region}:${AWS::AccountId}:endpoint/" + endpoint}
    return {
        "Logs": {
            "Type": "AWS::Logs::LogGroup",
            "Properties": {"LogGroupName": "/aws/lambda/predict", "RetentionInDays": 7},
        },
        "FunctionRole": role("lambda", {"Action": "sagemaker:InvokeEndpoint", "Resource": arn}),
        "Function": {
            "Type": "AWS::Lambda::Function",
            "Properties": {
                "FunctionName": "predict",
                "Code": {"ZipFile": HANDLER},
                "Handler": "index.handle",
                "Runtime": "python3.13",
                "Architectures": ["arm64"],
                "MemorySize": 512,
                "Timeout": 29,
                "Role": {"Fn::GetAtt": ["FunctionRole", "Arn"]},
                "LoggingConfig": {"LogGroup": {"Ref": "Logs"}},
                "ReservedConcurrentExecutions": 3,
                "Environment": {"Variables": {"ENDPOINT_NAME": endpoint}},
                "Tags": [{"Key": "part", "Value": "api"}],
            },
        },
        "Version": {
            "Type": "AWS::Lambda::Version",
            "Properties": {"FunctionName": {"Ref": "Function"}},
        },
        "Alias": {
            "Type": "AWS::Lambda::Alias",
            "Properties": {
                "FunctionName": {"Ref": "Function"},
                "FunctionVersion": {"Fn::GetAtt": ["Version", "Version"]},
                "Name": "live",
                "ProvisionedConcurrencyConfig": {"ProvisionedConcurrentExecutions": 2},
            },
        },
        "Url": {
            "Type": "AWS::Lambda::Url",
            "DependsOn": ["Alias"],
            "Properties": {
                "AuthType": "AWS_IAM",
                "Qualifier": "live",
                "TargetFunctionArn": {"Fn::GetAtt": ["Function", "Arn"]},
            },
        },
    }


def bucket_resources() -> dict[str, Any]:
    """Return a bucket with every property that the storage stack sets or may set."""
    return {
        "AccessLog": {"Type": "AWS::S3::Bucket"},
        "Bucket": {
            "Type": "AWS::S3::Bucket",
            "Properties": {
                "BucketEncryption": {
                    "ServerSideEncryptionConfiguration": [{"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]
                },
                "LifecycleConfiguration": {
                    "Rules": [
                        {
                            "Id": "Leftovers",
                            "Status": "Enabled",
                            "NoncurrentVersionExpiration": {"NoncurrentDays": 30},
                            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
                        },
                        {
                            "Id": "Capture",
                            "Status": "Enabled",
                            "Prefix": "capture/",
                            "ExpirationInDays": "90",
                            "Transitions": [{"StorageClass": "STANDARD_IA", "TransitionInDays": 30}],
                        },
                    ]
                },
                "LoggingConfiguration": {"DestinationBucketName": {"Ref": "AccessLog"}, "LogFilePrefix": "log/"},
                "OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
                "PublicAccessBlockConfiguration": {
                    "BlockPublicAcls": True,
                    "BlockPublicPolicy": True,
                    "IgnorePublicAcls": True,
                    "RestrictPublicBuckets": True,
                },
                "Tags": [{"Key": "part", "Value": "storage"}],
                "VersioningConfiguration": {"Status": "Enabled"},
            },
        },
        "BucketPolicy": {
            "Type": "AWS::S3::BucketPolicy",
            "Properties": {
                "Bucket": {"Ref": "Bucket"},
                "PolicyDocument": {
                    "Version": "2012-10-17",
                    "Statement": [
                        {
                            "Action": "s3:*",
                            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
                            "Effect": "Deny",
                            "Principal": {"AWS": "*"},
                            "Resource": [
                                {"Fn::GetAtt": ["Bucket", "Arn"]},
                                {"Fn::Sub": "${Bucket.Arn}/*"},
                            ],
                        }
                    ],
                },
            },
        },
    }
