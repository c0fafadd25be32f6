"""The ledger seen in MLflow. A view: delete it, and `study.publish --rebuild` makes it again."""

from study.tracking.address import tracking_address
from study.tracking.connection import DEFAULT_URI, TrackingUnavailable, redact
from study.tracking.findings import show_analysis
from study.tracking.publisher import Publisher

__all__ = [
    "DEFAULT_URI",
    "Publisher",
    "TrackingUnavailable",
    "redact",
    "show_analysis",
    "tracking_address",
]
