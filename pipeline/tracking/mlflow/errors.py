"""What a store's answers mean: the row is gone, this record never, or try again later.

Only what was surely meant for one record ends it, for its files go with it. A password that is
wrong, a right that is missing for all of the row, a proxy that finds no server, a full disk: all
such things pass.
"""

from typing import Any

from pipeline.tracking.model.log_model import NEVER

REFUSALS = (*NEVER, "BAD_REQUEST", "INVALID_PARAMETER_VALUE", "INVALID_STATE")
STATUS = (400, 403)
"""Of HTTP: what a server says that refuses a file."""

GONE = "RESOURCE_DOES_NOT_EXIST"


def is_active(client: Any, row_id: str) -> bool:
    """Whether a row is there and nobody deleted it; raises what else keeps it from being asked."""
    from mlflow.exceptions import MlflowException

    try:
        return str(client.get_run(row_id).info.lifecycle_stage) == "active"
    except MlflowException as error:
        if error.error_code == GONE:
            return False
        raise


def is_gone(error: Exception, client: Any, row_id: str) -> bool:
    """Whether an error says that the row is no more; other things than rows go too."""
    from mlflow.exceptions import MlflowException

    if not isinstance(error, MlflowException):
        return False
    deleted = "must be in the 'active' state" in str(error)  # MLflow has no code for it
    return deleted or (error.error_code == GONE and not is_active(client, row_id))


def is_refusal(error: Exception) -> bool:
    """Whether the store answered, and said no."""
    from mlflow.exceptions import MlflowException
    from requests import HTTPError

    if isinstance(error, HTTPError):
        return error.response is not None and error.response.status_code in STATUS
    return isinstance(error, MlflowException) and error.error_code in (*REFUSALS, GONE)


def takes_others(client: Any, row_id: str) -> bool:
    """Whether the row can be written to: what is refused then is refused for itself.

    Writes what is there already.
    """
    from mlflow.exceptions import MlflowException

    tags = client.get_run(row_id).data.tags
    name = next((key for key in ("run_key", "stage", "spool") if key in tags), None)
    if name is None:
        return False
    try:
        client.set_tag(row_id, name, tags[name])
    except MlflowException:
        return False
    return True
