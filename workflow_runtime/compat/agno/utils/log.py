"""agno's ``utils.log``: this package's logger under the names of its helpers."""

from __future__ import annotations

import logging

__all__ = ["log_debug", "log_error", "log_info", "log_warning", "logger"]

logger = logging.getLogger("workflow_runtime")

log_debug, log_info, log_warning, log_error = logger.debug, logger.info, logger.warning, logger.error
