"""``AWS::Budgets::Budget``, which ministack's CloudFormation lacks, over the Budgets API that it has.

Which property replaces and which updates in place: CloudFormation template reference of the type.
"""

from ministack.services.cloudformation import provisioners

from local.core.account import Account
from local.core.client_service import ClientService
from local.core.json_service import Parameters
from local.core.names import ACCOUNT
from local.ministack.cloudformation import Created, ResourceType, add_types, run_on_worker_threads

TYPE = "AWS::Budgets::Budget"
NAME_LENGTH = 100


def register(account: Account) -> None:
    """Add the type to ministack's CloudFormation."""
    add_types({TYPE: _Budget(ClientService(account, "budgets"))})
    run_on_worker_threads({TYPE})


class _Budget(ResourceType):
    """A budget; other notifications or a name of the user's own replace it."""

    replacing = ("NotificationsWithSubscribers",)
    stack_tags = "ResourceTags"

    def create(self, logical_id: str, properties: Parameters, stack: str) -> Created:
        generated = provisioners._physical_name(stack, logical_id, max_len=NAME_LENGTH)
        name = str(properties["Budget"].get("BudgetName") or generated)
        budget = {**properties["Budget"], "BudgetName": name}
        self.call("CreateBudget", {**properties, "AccountId": ACCOUNT, "Budget": budget})
        return name, {}

    def update(self, physical_id: str, old: Parameters, new: Parameters, stack: str) -> Created:
        if new["Budget"].get("BudgetName", physical_id) != physical_id:
            return self.create("", new, stack)
        self.call("UpdateBudget", {"AccountId": ACCOUNT, "NewBudget": {**new["Budget"], "BudgetName": physical_id}})
        self.update_tags(f"arn:aws:budgets::{ACCOUNT}:budget/{physical_id}", old, new)
        return physical_id, {}

    def update_tags(self, budget_arn: str, old: Parameters, new: Parameters) -> None:
        """Bring a budget's tags from the old properties' to the new ones'."""
        tags = new.get("ResourceTags", [])
        gone = {tag["Key"] for tag in old.get("ResourceTags", [])} - {tag["Key"] for tag in tags}
        if gone:
            self.call("UntagResource", {"ResourceARN": budget_arn, "ResourceTagKeys": sorted(gone)})
        if tags:
            self.call("TagResource", {"ResourceARN": budget_arn, "ResourceTags": tags})

    def delete(self, physical_id: str, properties: Parameters) -> None:
        self.delete_quietly("DeleteBudget", {"AccountId": ACCOUNT, "BudgetName": physical_id})
