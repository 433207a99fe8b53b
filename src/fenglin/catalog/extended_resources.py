"""Under which names Kubernetes' device plugins offer accelerators, and labels that tell models.

Each maker's plugin has a name of its own; some have one per family of cards. The names are those
of the makers' own plugins in their usual settings.
"""

from __future__ import annotations

from fenglin.catalog.devices import lookup

_BY_VENDOR = {
    "AMD": "amd.com/gpu",
    "Biren": "birentech.com/gpu",
    "Cambricon": "cambricon.com/mlu",
    "Hygon": "hygon.com/dcu",
    "Iluvatar": "iluvatar.ai/gpu",
    "MetaX": "metax-tech.com/gpu",
    "Moore Threads": "mthreads.com/gpu",
    "NVIDIA": "nvidia.com/gpu",
}
_BY_MODEL = {
    "Ascend310P": "huawei.com/Ascend310P",
    "Ascend910A": "huawei.com/Ascend910",
    "Ascend910B": "huawei.com/Ascend910",
    "Ascend910B2": "huawei.com/Ascend910",
    "Ascend910B3": "huawei.com/Ascend910",
    "Ascend910B4": "huawei.com/Ascend910",
    "Ascend910B4-1": "huawei.com/Ascend910",
    "Ascend910C": "huawei.com/Ascend910",
}
# Labels of nodes whose value is a model, as device plugins and clouds write it.
PRODUCT_LABELS = (
    "nvidia.com/gpu.product",
    "amd.com/gpu.product-name",
    "cloud.google.com/gke-accelerator",
    "accelerator",
)


def extended_resource(model: str) -> str:
    """Return the extended resource of a model's cards; empty when none is known."""
    device = lookup(model) if model else None
    if device is None:
        return ""
    return _BY_MODEL.get(device.key) or _BY_VENDOR.get(device.vendor, "")
