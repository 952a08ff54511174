"""The dashboard: what a person on call looks at, from what users notice down to what it costs."""

from collections.abc import Sequence

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from stacks.common.names import alarm_arn, failure_queue_name
from stacks.monitoring.alarms import HTTP_API
from stacks.monitoring.metrics import (
    FIVE_MINUTES,
    MINUTE,
    FunctionMetrics,
    VariantMetrics,
    log_bytes,
    queue_depth,
)
from stacks.settings import Settings

WIDTH, HEIGHT = 24, 6
PERCENTILES = ("p50", "p90", "p99")
HTTP_API_TITLES = (
    "HTTP API: 5xx (per five minutes)",
    "HTTP API: 4xx (per five minutes)",
    "HTTP API: latency, p99 (ms)",
)
Metrics = Sequence[cloudwatch.IMetric]


class Dashboard(Construct):
    """The rows show alarms, errors, latency, capacity and cost."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        settings: Settings,
        variants: Sequence[VariantMetrics],
        function: FunctionMetrics,
        alarms: Sequence[cloudwatch.IAlarm],
    ) -> None:
        super().__init__(scope, construct_id)
        self._settings, self._variants, self._function = settings, variants, function
        self.dashboard = cloudwatch.Dashboard(
            self,
            "Dashboard",
            dashboard_name=f"kennel-{settings.environment}",
            default_interval=Duration.hours(3),
            widgets=[
                self._status(alarms),
                [self._traffic(), self._errors(), self._refusals()],
                [self._model_latency(), self._overhead(), self._duration()],
                self._serverless() if settings.endpoint.serverless else self._fleet(),
                [self._concurrency(), self._provisioned(), self._spillover()],
                self._http_api(),
                [*([] if settings.endpoint.serverless else [self._instance_hours()]), *self._use()],
            ],
        )

    def _status(self, alarms: Sequence[cloudwatch.IAlarm]) -> list[cloudwatch.IWidget]:
        name, book = f"kennel-{self._settings.environment}", self._settings.monitoring.runbook_url
        text = f"## {name}\nWhat each alarm means and what to do: `{book}`"
        if not alarms:
            return [cloudwatch.TextWidget(markdown=text, width=WIDTH, height=2)]
        return [
            cloudwatch.TextWidget(markdown=text, width=WIDTH // 3, height=3),
            cloudwatch.AlarmStatusWidget(title="Alarms", alarms=alarms, width=WIDTH * 2 // 3, height=3),
        ]

    def _traffic(self) -> cloudwatch.GraphWidget:
        function = self._function
        return _graph(
            "Traffic (requests per minute)",
            [function.of_function("Invocations", "Sum", label="function")]
            + [v.request("Invocations", "Sum", label=f"endpoint {v.variant_name}") for v in self._variants],
        )

    def _errors(self) -> cloudwatch.GraphWidget:
        function = self._function
        return _graph(
            "Errors (per minute)",
            [
                function.of_function("Errors", "Sum", label="function crashes and timeouts"),
                function.of_alias("Url5xxCount", "Sum", label="URL 5xx"),
                function.of_alias("Url4xxCount", "Sum", label="URL 4xx"),
            ]
            + [
                v.request(name, "Sum", label=f"{v.variant_name} {label}")
                for v in self._variants
                for name, label in (
                    ("Invocation5XXErrors", "5xx"),
                    ("Invocation4XXErrors", "4xx"),
                    ("InvocationModelErrors", "model errors"),
                )
            ],
        )

    def _refusals(self) -> cloudwatch.GraphWidget:
        return _graph(
            "Throttled (per minute) and failed (in the queue)",
            [self._function.of_function("Throttles", "Sum", label="function throttles")],
            right=[queue_depth(failure_queue_name(self._settings.environment))],
        )

    def _model_latency(self) -> cloudwatch.GraphWidget:
        limit = self._settings.monitoring.endpoint_latency_p99_milliseconds
        return _graph(
            "Model latency (ms)",
            [v.milliseconds("ModelLatency", p, f"{v.variant_name} {p}") for v in self._variants for p in PERCENTILES],
            lines={"alarm on p99": limit},
        )

    def _overhead(self) -> cloudwatch.GraphWidget:
        return _graph(
            "SageMaker's overhead (ms)",
            [
                v.milliseconds("OverheadLatency", p, f"{v.variant_name} {p}")
                for v in self._variants
                for p in PERCENTILES
            ],
        )

    def _duration(self) -> cloudwatch.GraphWidget:
        return _graph(
            "Function duration (ms)",
            [self._function.of_function("Duration", p, label=p) for p in PERCENTILES],
            lines={"timeout": self._settings.api.timeout_seconds * 1000},
        )

    def _fleet(self) -> list[cloudwatch.IWidget]:
        scaling, scales = self._settings.endpoint.scaling, self._settings.endpoint.scales
        limits: dict[str, float] = {"minimum": scaling.minimum_instances, "maximum": scaling.maximum_instances}
        instances = _graph(
            "Instances in use (no data without traffic)",
            [v.instances() for v in self._variants],
            lines=limits if scales else {},
        )
        if scaling.metric == "concurrency":
            name, statistic, target = "ConcurrentRequestsPerModel", "Average", scaling.concurrent_requests_per_instance
        else:
            name, statistic, target = "InvocationsPerInstance", "Sum", scaling.invocations_per_instance
        load = _graph(
            f"Scaling metric: {name}",
            [v.request(name, statistic, label=v.variant_name) for v in self._variants],
            lines={"scaling target": target} if target and scales else {},
        )
        hosts = _graph(
            "Utilization of instances (percent; 100 for each vCPU)",
            [
                v.host(name, "Average", label=f"{v.variant_name} {label}")
                for v in self._variants
                for name, label in (
                    ("CPUUtilization", "CPU"),
                    ("MemoryUtilization", "memory"),
                    ("DiskUtilization", "disk"),
                )
            ],
        )
        return [instances, load, hosts]

    def _serverless(self) -> list[cloudwatch.IWidget]:
        (variant,) = self._variants
        return [
            _graph(
                "Cold starts: model setup time (ms)",
                [variant.milliseconds("ModelSetupTime", p, p) for p in PERCENTILES],
            ),
            _graph(
                "Serverless concurrency in use (0-1)",
                [
                    variant.request("ServerlessConcurrentExecutionsUtilization", "Maximum", label="all"),
                    variant.request("ServerlessProvisionedConcurrencyUtilization", "Maximum", label="provisioned"),
                ],
            ),
            _graph(
                "Spill-over of the endpoint (per minute)",
                [variant.request("ServerlessProvisionedConcurrencySpilloverInvocations", "Sum", label="spill-over")],
            ),
        ]

    def _concurrency(self) -> cloudwatch.GraphWidget:
        reserved = self._settings.api.reserved_concurrency
        return _graph(
            "Function concurrency",
            [
                self._function.of_function("ConcurrentExecutions", "Maximum", label="in use"),
                self._function.of_alias("ProvisionedConcurrentExecutions", "Maximum", label="in use, provisioned"),
            ],
            lines={"reserved": reserved} if reserved else {},
        )

    def _provisioned(self) -> cloudwatch.GraphWidget:
        return _graph(
            "Provisioned concurrency in use (0-1)",
            [self._function.of_alias("ProvisionedConcurrencyUtilization", "Maximum", label="utilization")],
        )

    def _spillover(self) -> cloudwatch.GraphWidget:
        return _graph(
            "Spill-over: invocations without a provisioned environment (per minute)",
            [self._function.of_alias("ProvisionedConcurrencySpilloverInvocations", "Sum", label="spill-over")],
        )

    def _http_api(self) -> list[cloudwatch.IWidget]:
        """Show the HTTP API's metrics through its alarms: they have names, and its metrics only an id."""
        if self._settings.api.http_api is None or not self._settings.monitoring.alarms:
            return []
        environment = self._settings.environment
        return [
            cloudwatch.AlarmWidget(
                title=title,
                alarm=cloudwatch.Alarm.from_alarm_arn(self, name, alarm_arn(self, environment, name)),
                left_y_axis=cloudwatch.YAxisProps(min=0, show_units=False),
                width=WIDTH // 3,
                height=HEIGHT,
            )
            for name, title in zip(HTTP_API, HTTP_API_TITLES, strict=True)
        ]

    def _instance_hours(self) -> cloudwatch.GraphWidget:
        minimum = self._settings.endpoint.scaling.minimum_instances
        return _graph(
            "Cost: instances per hour (at least the minimum is billed)",
            [v.instances(Duration.hours(1)) for v in self._variants],
            lines={"billed without traffic": minimum},
        )

    def _use(self) -> list[cloudwatch.IWidget]:
        gigabytes = self._settings.api.memory_mb / 1024
        seconds = cloudwatch.MathExpression(
            expression=f"duration / 1000 * {gigabytes:g}",
            using_metrics={"duration": self._function.of_function("Duration", "Sum", FIVE_MINUTES)},
            period=FIVE_MINUTES,
            label="GB-seconds (per five minutes)",
        )
        return [
            _graph(
                "Cost: function",
                [seconds],
                right=[self._function.of_function("Invocations", "Sum", FIVE_MINUTES, "requests (per five minutes)")],
            ),
            _graph(
                "Cost: log bytes (per five minutes)",
                [
                    log_bytes(f"/aws/lambda/{self._settings.function_name}"),
                    log_bytes(f"/aws/sagemaker/Endpoints/{self._settings.endpoint_name}"),
                ],
            ),
        ]


def _graph(
    title: str, left: Metrics, *, right: Metrics = (), lines: dict[str, float] | None = None
) -> cloudwatch.GraphWidget:
    return cloudwatch.GraphWidget(
        title=title,
        left=list(left),
        right=list(right),
        left_annotations=[
            cloudwatch.HorizontalAnnotation(label=label, value=value) for label, value in (lines or {}).items()
        ],
        left_y_axis=cloudwatch.YAxisProps(min=0, show_units=False),
        right_y_axis=cloudwatch.YAxisProps(min=0, show_units=False),
        period=MINUTE,
        width=WIDTH // 3,
        height=HEIGHT,
    )
