"""Data beside jobs: uploaded blobs by content address, and kept artifacts."""

from fenglin.staging.folder import FolderStaging

__all__ = ["FolderStaging"]
