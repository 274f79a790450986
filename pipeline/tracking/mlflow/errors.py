"""Errors of a store sorted: the run is gone, the record is rejected, or try again later.

A record is rejected only if the error surely concerns that record, since its files are deleted
with it. A wrong password, a right that is missing for the whole run, a proxy that finds no server
and a full disk are temporary.
"""

from typing import Any

from mlflow.exceptions import MlflowException
from requests import HTTPError

NEVER = ("ENDPOINT_NOT_FOUND", "NOT_IMPLEMENTED", "PERMISSION_DENIED")
"""Error codes of a server that will never accept a model, though it accepts other records."""
REJECTIONS = (*NEVER, "BAD_REQUEST", "INVALID_PARAMETER_VALUE", "INVALID_STATE")
STATUS = (400, 403)
"""HTTP status of a server that rejects a file."""

GONE = "RESOURCE_DOES_NOT_EXIST"


def is_active(client: Any, run_id: str) -> bool:
    """Whether a run exists and is not deleted; raises all other errors of the store."""
    try:
        return str(client.get_run(run_id).info.lifecycle_stage) == "active"
    except MlflowException as error:
        if error.error_code == GONE:
            return False
        raise


def is_rejection(error: Exception) -> bool:
    """Whether the store answered, and rejected the request."""
    if isinstance(error, HTTPError):
        return error.response is not None and error.response.status_code in STATUS
    return isinstance(error, MlflowException) and error.error_code in (*REJECTIONS, GONE)


def is_writable(client: Any, run_id: str) -> bool:
    """Whether the run can be written to: then a rejection concerns the record alone.

    Sets its name to the one that it has.
    """
    name = client.get_run(run_id).info.run_name
    try:
        client.set_tag(run_id, "mlflow.runName", name)
    except MlflowException:
        return False
    return True
