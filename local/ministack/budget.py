"""``AWS::Budgets::Budget``, which ministack's CloudFormation lacks, over the Budgets API that it has."""

import json
from typing import Any

from ministack.services import budgets
from ministack.services.cloudformation import provisioners

from local.core.json_service import Parameters, service_model
from local.core.names import ACCOUNT
from local.ministack.cloudformation import Created, convert

TYPE = "AWS::Budgets::Budget"
NAME_LENGTH = 100
MODEL = service_model("budgets")


def register() -> None:
    """Add the type to ministack's CloudFormation."""
    provisioners._RESOURCE_HANDLERS[TYPE] = {"create": _create, "update": _update, "delete": _delete}
    provisioners._STACK_TAG_PROPERTY[TYPE] = ("ResourceTags", "list")


def _create(logical_id: str, properties: Parameters, stack: str) -> Created:
    name = properties["Budget"].get("BudgetName")
    return _put(name or provisioners._physical_name(stack, logical_id, max_len=NAME_LENGTH), properties)


def _update(physical_id: str, old: Parameters, new: Parameters, stack: str) -> Created:
    """Make the budget anew: changed notifications replace it on AWS too, and no spend is lost here."""
    _delete(physical_id, old)
    return _put(new["Budget"].get("BudgetName") or physical_id, new)


def _delete(physical_id: str, properties: Parameters) -> None:
    budgets._delete_budget({"BudgetName": physical_id})


def _put(name: str, properties: Parameters) -> Created:
    request = {**properties, "AccountId": ACCOUNT, "Budget": {**properties["Budget"], "BudgetName": name}}
    answer: tuple[int, Any, bytes] = budgets._create_budget(
        convert(MODEL.operation_model("CreateBudget").input_shape, request)
    )
    if answer[0] >= 400:
        raise ValueError(f"{TYPE}: {json.loads(answer[2]).get('message')}")
    return name, {}
