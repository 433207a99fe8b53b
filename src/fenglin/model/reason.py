"""Typed reasons: every "no" of planner, applier and drivers, and whether a retry may help."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Why an option was refused, a job waits, or a task ended as it did."""

    # Permanent for this option: no amount of waiting changes them.
    SITE_NOT_ALLOWED = "site_not_allowed"
    CLASS_DIFFERS = "class_differs"
    NO_ACCELERATOR = "no_accelerator"
    ACCELERATOR_MODEL_DIFFERS = "accelerator_model_differs"
    ACCELERATOR_VENDOR_DIFFERS = "accelerator_vendor_differs"
    ACCELERATOR_NOT_DOMESTIC = "accelerator_not_domestic"
    ACCELERATOR_TOO_SMALL = "accelerator_too_small"
    ACCELERATOR_UNKNOWN = "accelerator_unknown"
    CPU_EXCEEDS_NODE = "cpu_exceeds_node"
    MEMORY_EXCEEDS_NODE = "memory_exceeds_node"
    DISK_EXCEEDS_NODE = "disk_exceeds_node"
    ACCELERATORS_EXCEED_NODE = "accelerators_exceed_node"
    TOO_FEW_NODES = "too_few_nodes"
    LICENCE_UNKNOWN = "licence_unknown"
    REGION_NOT_ALLOWED = "region_not_allowed"
    LABEL_DIFFERS = "label_differs"
    TOO_FAR_AWAY = "too_far_away"
    BLOCK_TOO_SMALL = "block_too_small"
    CAPABILITY_MISSING = "capability_missing"
    NOT_WHOLE_NODES = "not_whole_nodes"
    DEPENDENCY_FAILED = "dependency_failed"
    NO_SITE_CAN_HOLD = "no_site_can_hold"
    # Transient: they pass with time or with an operator's action.
    SITE_DRAINED = "site_drained"
    SITE_DOWN = "site_down"
    NODE_DOWN = "node_down"
    CPU_BUSY = "cpu_busy"
    MEMORY_BUSY = "memory_busy"
    DISK_BUSY = "disk_busy"
    ACCELERATOR_BUSY = "accelerator_busy"
    LICENCE_BUSY = "licence_busy"
    GANG_WAITS = "gang_waits"
    RESERVED_FOR_OTHERS = "reserved_for_others"
    WAITS_FOR_EVICTION = "waits_for_eviction"
    BEHIND_OTHERS = "behind_others"
    BETTER_ELSEWHERE = "better_elsewhere"
    QUEUE_QUOTA = "queue_quota"
    BUDGET_EXHAUSTED = "budget_exhausted"
    DEPENDENCY_PENDING = "dependency_pending"
    NOT_BEFORE = "not_before"
    CONCURRENCY_LIMIT = "concurrency_limit"
    QUARANTINED = "quarantined"
    USER_BRAKED = "user_braked"
    SECRET_KEY_MISSING = "secret_key_missing"  # noqa: S105 - a word, no password
    CHANGED_MEANWHILE = "changed_meanwhile"
    # How a task or an attempt ended.
    EXIT_CODE = "exit_code"
    SIGNAL = "signal"
    TIMEOUT = "timeout"
    MEMORY_EXCEEDED = "memory_exceeded"
    DISK_EXCEEDED = "disk_exceeded"
    COMMAND_NOT_FOUND = "command_not_found"
    STAGING_FAILED = "staging_failed"
    SECRET_UNAVAILABLE = "secret_unavailable"  # noqa: S105 - a word, no password
    IMAGE_FAILED = "image_failed"
    SETUP_FAILED = "setup_failed"
    START_FAILED = "start_failed"
    RUNNER_LOST = "runner_lost"
    NODE_REBOOTED = "node_rebooted"
    NODE_RECLAIMED = "node_reclaimed"
    SITE_LOST = "site_lost"
    CANCELLED = "cancelled"
    PREEMPTED = "preempted"
    # Why a provider sells no node now.
    PROVIDER_QUOTA = "provider_quota"
    PROVIDER_CAPACITY = "provider_capacity"
    PRICE_CEILING = "price_ceiling"

    @property
    def transient(self) -> bool:
        """Return whether waiting or trying again may help."""
        return self not in _PERMANENT


_PERMANENT = frozenset(
    {
        Reason.SITE_NOT_ALLOWED,
        Reason.CLASS_DIFFERS,
        Reason.NO_ACCELERATOR,
        Reason.ACCELERATOR_MODEL_DIFFERS,
        Reason.ACCELERATOR_VENDOR_DIFFERS,
        Reason.ACCELERATOR_NOT_DOMESTIC,
        Reason.ACCELERATOR_TOO_SMALL,
        Reason.ACCELERATOR_UNKNOWN,
        Reason.CPU_EXCEEDS_NODE,
        Reason.MEMORY_EXCEEDS_NODE,
        Reason.DISK_EXCEEDS_NODE,
        Reason.ACCELERATORS_EXCEED_NODE,
        Reason.TOO_FEW_NODES,
        Reason.LICENCE_UNKNOWN,
        Reason.REGION_NOT_ALLOWED,
        Reason.LABEL_DIFFERS,
        Reason.TOO_FAR_AWAY,
        Reason.BLOCK_TOO_SMALL,
        Reason.CAPABILITY_MISSING,
        Reason.NOT_WHOLE_NODES,
        Reason.DEPENDENCY_FAILED,
        Reason.NO_SITE_CAN_HOLD,
        Reason.COMMAND_NOT_FOUND,
        Reason.SETUP_FAILED,
        Reason.CANCELLED,
    }
)

# Endings that are the site's doing, not the payload's: retried without counting against the
# user's own exit-code list, but still against the limit.
SITE_FAULTS = frozenset(
    {
        Reason.START_FAILED,
        Reason.RUNNER_LOST,
        Reason.NODE_REBOOTED,
        Reason.NODE_RECLAIMED,
        Reason.SITE_LOST,
        Reason.STAGING_FAILED,
        Reason.SECRET_UNAVAILABLE,
    }
)
