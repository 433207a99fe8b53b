"""Average CO2 factors of grid electricity, each with its year, source and date.

A factor is dated data: a later one is added beside the former, never over it. A region without
one has none; the average of a country would be a guess for a province.
"""

from __future__ import annotations

from msgspec import Struct

SOURCE_2022 = (
    "MEE and NBS of China, announcement on CO2 emission factors of electricity in 2022,"
    " average of the province"
)
PUBLISHED_2022 = "2024-12-20"


class CarbonFactor(Struct, frozen=True):
    """What a grid emits.

    Attributes:
        region: Such as `cn-guizhou`.
        year: Of the electricity.
        mg_kwh: CO2 per kWh, milligrams.
        source: Who says so.
        published: When, `YYYY-MM-DD`.
        grade: `declared`: published by an authority, not measured by us.
    """

    region: str
    year: int
    mg_kwh: int
    source: str
    published: str
    grade: str = "declared"

    def __str__(self) -> str:
        """Return the factor for people."""
        return f"{self.mg_kwh / 1_000:g} g/kWh, {self.region} {self.year} ({self.source})"


_MG_KWH_2022 = {
    "anhui": 678_200, "beijing": 558_000, "chongqing": 522_700, "fujian": 409_200,
    "gansu": 477_200, "guangdong": 440_300, "guangxi": 404_400, "guizhou": 498_900,
    "hainan": 418_400, "hebei": 725_200, "heilongjiang": 536_800, "henan": 605_800,
    "hubei": 436_400, "hunan": 490_000, "innermongolia": 684_900, "jiangsu": 597_800,
    "jiangxi": 575_200, "jilin": 493_200, "liaoning": 562_600, "ningxia": 642_300,
    "qinghai": 156_700, "shaanxi": 655_800, "shandong": 641_000, "shanghai": 584_900,
    "shanxi": 709_600, "sichuan": 140_400, "tianjin": 704_100, "xinjiang": 623_100,
    "yunnan": 107_300, "zhejiang": 515_300,
}  # fmt: skip

FACTORS: tuple[CarbonFactor, ...] = tuple(
    CarbonFactor(f"cn-{province}", 2022, mg_kwh, SOURCE_2022, PUBLISHED_2022)
    for province, mg_kwh in _MG_KWH_2022.items()
)


def factor_of(region: str) -> CarbonFactor | None:
    """Return the newest factor of a region, or of the province that its name begins with.

    `cn-guizhou` and `cn-guizhou-2` both mean Guizhou; an unknown region has none.
    """
    parts = region.casefold().split("-")
    province = "-".join(parts[:2])
    found = [one for one in FACTORS if one.region == province]
    return max(found, key=lambda one: one.year, default=None)
