"""Where things lie in the bucket. The training roles read data/ and training/, and write training/ and models/."""

CODE, RUNS, CHECKPOINTS, OUTPUT, WEIGHTS = (
    f"training/{name}/" for name in ("code", "runs", "checkpoints", "output", "weights")
)
DATA, MODELS = "data/", "models/"


def result_key(run: str, name: str) -> str:
    """Return where a run leaves a file about its model, such as the manifest."""
    return f"{RUNS}{run}/{name}"


def status_key(run: str) -> str:
    """Return where an instance says how far it is."""
    return f"{RUNS}{run}/status.json"


def search_key(run: str) -> str:
    """Return where the last fit of a search reads what its manifest is to say of that."""
    return f"{RUNS}{run}/search.json"


def spec_key(run: str) -> str:
    """Return where an instance reads its ``InstanceSpec``."""
    return f"{RUNS}{run}/order.json"
