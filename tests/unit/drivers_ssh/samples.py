# ruff: noqa: E501 - tables are as wide as they are
"""What the tools print, written by us after their makers' documentation."""

NVIDIA = """\
0, NVIDIA A100-SXM4-80GB, 81920
1, NVIDIA A100-SXM4-80GB, 81920
2, NVIDIA GeForce RTX 4090, 24564
3, NVIDIA Something New, [N/A]
"""
NVIDIA_BROKEN = "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n"
NPU = """\
+------------------------------------------------------------------------------------------------+
| npu-smi 24.1.rc2                 Version: 24.1.rc2                                             |
+---------------------------+---------------+----------------------------------------------------+
| NPU   Name                | Health        | Power(W)    Temp(C)           Hugepages-Usage(page)|
| Chip                      | Bus-Id        | AICore(%)   Memory-Usage(MB)  HBM-Usage(MB)        |
+===========================+===============+====================================================+
| 0     910B3               | OK            | 93.2        46                0    / 0             |
| 0                         | 0000:C1:00.0  | 0           0    / 0          3340 / 65536         |
+===========================+===============+====================================================+
| 1     910B3               | Alarm         | 90.1        44                0    / 0             |
| 0                         | 0000:01:00.0  | 0           0    / 0          3336 / 65536         |
+===========================+===============+====================================================+
| 2     910B3               | OK            | 91.0        45                0    / 0             |
| 0                         | 0000:C2:00.0  | 0           0    / 0          3336 / 65536         |
+===========================+===============+====================================================+
+---------------------------+---------------+----------------------------------------------------+
| NPU     Chip              | Process id    | Process name             | Process memory(MB)      |
+===========================+===============+====================================================+
| No running processes found in NPU 0                                                            |
+===========================+===============+====================================================+
"""
# One board with two chips, as 310P cards are: two devices under one NPU number.
NPU_TWO_CHIPS = """\
| NPU     Name              | Health          | Power(W)     Temp(C)           Hugepages-Usage(page)|
| Chip    Device            | Bus-Id          | AICore(%)    Memory-Usage(MB)                       |
+===========================+=================+====================================================+
| 8       310P3             | OK              | NA           52                0     / 0            |
| 0       0                 | 0000:02:00.0    | 0            1371 / 21527                           |
+---------------------------+-----------------+----------------------------------------------------+
| 8       310P3             | OK              | NA           51                0     / 0            |
| 1       1                 | 0000:02:00.0    | 0            1371 / 21527                           |
+===========================+=================+====================================================+
"""
ROCM = """\
{"card0": {"VRAM Total Memory (B)": "68702699520", "VRAM Total Used Memory (B)": "10952704",
  "Card Series": "AMD INSTINCT MI250", "Card Model": "0x740c", "Card Vendor": "AMD"},
 "card1": {"VRAM Total Memory (B)": "68702699520", "VRAM Total Used Memory (B)": "10952704",
  "Card Series": "AMD INSTINCT MI250", "Card Model": "0x740c", "Card Vendor": "AMD"},
 "system": {"Driver version": "6.2.4"}}
"""
HYGON = """\
{"card0": {"Card Series": "K100_AI", "Card Vendor": "C-3000 IC Design Co., Ltd.",
  "VRAM Total Memory (B)": "68702699520"},
 "card10": {"Card Series": "K100_AI", "Card Vendor": "C-3000 IC Design Co., Ltd.",
  "VRAM Total Memory (B)": "68702699520"},
 "card2": {"Card Series": "K100_AI", "Card Vendor": "C-3000 IC Design Co., Ltd.",
  "VRAM Total Memory (B)": "68702699520"}}
"""
