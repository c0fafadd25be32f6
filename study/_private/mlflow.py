"""What is used below the public face of MLflow.

MLflow takes seconds to import: that happens in the functions only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from study._private.names import Name

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

NAMES = (
    Name(
        "mlflow.store.db.utils:MAX_RETRY_COUNT",
        use="try a database once, not for 100 seconds in silence: we try again ourselves",
        gone="a database that is down is noticed minutes later",
    ),
    Name(
        "mlflow.store.db.utils:create_sqlalchemy_engine_with_retry",
        code=("MAX_RETRY_COUNT",),
        use="try a database once: it is what reads the number",
        gone="as without MAX_RETRY_COUNT",
    ),
    Name(
        "mlflow:MlflowClient.__init__",
        code=("_tracking_client",),
        use="reach the store behind a client",
        gone="runs that `study.publish --rebuild` deletes stay in the trash until `mlflow gc`",
    ),
    Name(
        "mlflow.tracking._tracking_service.client:TrackingServiceClient.store",
        use="reach the store behind a client",
        gone="as without MlflowClient._tracking_client",
    ),
    Name(
        "mlflow.store.tracking.sqlalchemy_store:SqlAlchemyStore._hard_delete_run",
        takes=("self", "run_id"),
        use="delete a run for good",
        gone="as without MlflowClient._tracking_client",
    ),
    Name(
        "mlflow.store.artifact.artifact_repository_registry:get_artifact_repository",
        takes=("artifact_uri",),
        use="delete a run's artifacts for good",
        gone="`study.publish --rebuild` ends (ImportError)",
    ),
)


def try_database_once() -> None:
    """Has MLflow give up on a database that does not answer, instead of trying for 100 s."""
    from mlflow.store.db import utils

    utils.MAX_RETRY_COUNT = 1


def hard_delete(client: MlflowClient, run: Run) -> None:
    """Removes a run marked as deleted for good, with its artifacts, if the store is a database."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    store = getattr(getattr(client, "_tracking_client", None), "store", None)
    delete = getattr(store, "_hard_delete_run", None)
    if delete is not None:
        artifacts: Any = get_artifact_repository(str(run.info.artifact_uri))
        artifacts.delete_artifacts()
        delete(run.info.run_id)
