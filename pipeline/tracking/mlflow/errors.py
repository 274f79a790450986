"""Errors of a store sorted: the run is gone, the record is rejected, or try again later.

A record is rejected only if the error surely concerns that record, since its files are deleted
with it. A wrong password, a right that is missing for the whole run, a proxy that finds no server
and a full disk are temporary.
"""

from typing import Any

from pipeline.tracking.model.log_model import NEVER

REJECTIONS = (*NEVER, "BAD_REQUEST", "INVALID_PARAMETER_VALUE", "INVALID_STATE")
STATUS = (400, 403)
"""HTTP status of a server that rejects a file."""

GONE = "RESOURCE_DOES_NOT_EXIST"

FOLDER_TAG = "spool"
"""Tag with the id of the run folder that a run was created for."""


def is_active(client: Any, run_id: str) -> bool:
    """Whether a run exists and is not deleted; raises all other errors of the store."""
    from mlflow.exceptions import MlflowException

    try:
        return str(client.get_run(run_id).info.lifecycle_stage) == "active"
    except MlflowException as error:
        if error.error_code == GONE:
            return False
        raise


def is_gone(error: Exception, client: Any, run_id: str) -> bool:
    """Whether an error means that the run was deleted, and not an artifact or model of it."""
    from mlflow.exceptions import MlflowException

    if not isinstance(error, MlflowException):
        return False
    deleted = "must be in the 'active' state" in str(error)  # MLflow has no code for it
    return deleted or (error.error_code == GONE and not is_active(client, run_id))


def is_rejection(error: Exception) -> bool:
    """Whether the store answered, and rejected the request."""
    from mlflow.exceptions import MlflowException
    from requests import HTTPError

    if isinstance(error, HTTPError):
        return error.response is not None and error.response.status_code in STATUS
    return isinstance(error, MlflowException) and error.error_code in (*REJECTIONS, GONE)


def is_writable(client: Any, run_id: str) -> bool:
    """Whether the run can be written to: then a rejection concerns the record alone.

    Sets a tag to the value that it has.
    """
    from mlflow.exceptions import MlflowException

    tags = client.get_run(run_id).data.tags
    name = next((key for key in ("run_key", "stage", FOLDER_TAG) if key in tags), None)
    if name is None:
        return False
    try:
        client.set_tag(run_id, name, tags[name])
    except MlflowException:
        return False
    return True
